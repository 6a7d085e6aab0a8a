// Pictures on the clipboard go the way of dropped files: into the page's uploader.

export default function () {
  function paste(event) {
    const pictures = [...event.clipboardData.files].filter(({ type }) => type.startsWith("image/"))
    const input = document.querySelector('[data-testid="stFileUploaderDropzone"] input')
    if (!pictures.length || !input) return
    event.preventDefault()
    const transfer = new DataTransfer()
    pictures.forEach((picture) => transfer.items.add(picture))
    input.files = transfer.files
    input.dispatchEvent(new Event("change", { bubbles: true }))
  }

  document.addEventListener("paste", paste)
  return () => document.removeEventListener("paste", paste)
}
