// A line and a button that copies it.

export default function ({ data, parentElement }) {
  const button = parentElement.querySelector("button")
  button.title = data
  button.onclick = async () => {
    const phone = navigator.share && matchMedia("(pointer: coarse)").matches
    if (phone) return navigator.share({ text: data }).catch(() => {})
    await navigator.clipboard?.writeText(data)
    button.textContent = "Copied"
    setTimeout(() => (button.textContent = "Share score"), 2000)
  }
}
