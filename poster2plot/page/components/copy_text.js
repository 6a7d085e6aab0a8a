// Copies a text, and says whether that went well.
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text)
    return true
  } catch {
    // Browsers keep the clipboard from pages that come without TLS from another machine.
    let focused = document.activeElement
    while (focused?.shadowRoot?.activeElement) focused = focused.shadowRoot.activeElement
    const area = document.createElement("textarea")
    area.value = text
    document.body.append(area)
    area.select()
    const copied = document.execCommand("copy")
    area.remove()
    focused?.focus({ preventScroll: true })
    return copied
  }
}

