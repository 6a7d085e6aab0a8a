// A line and a button that copies it, with where the page is.

export default function ({ data, parentElement }) {
  const button = parentElement.querySelector("button")
  button.title = data
  button.onclick = async () => {
    const url = location.origin + location.pathname
    const phone = navigator.share && matchMedia("(pointer: coarse)").matches
    if (phone) return navigator.share({ text: data, url }).catch(() => {})
    button.textContent = (await copyText(`${data} ${url}`)) ? "Copied" : "Not allowed"
    setTimeout(() => (button.textContent = "Share score"), 2000)
  }
}
