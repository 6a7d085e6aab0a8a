// Buttons that share a picture as a file, or copy it. It is fetched when it is first asked for.

const pictures = new Map() // by address, for all of these buttons

function fetched(address) {
  if (!pictures.has(address)) {
    const picture = fetch(address).then((answer) => {
      if (!answer.ok) throw new Error(answer.statusText)
      return answer.blob()
    })
    pictures.set(address, picture)
    picture.catch(() => pictures.delete(address)) // the next tap asks again
  }
  return pictures.get(address)
}

function say(button, word) {
  const label = button.querySelector("span")
  const usual = label.dataset.usual ?? (label.dataset.usual = label.textContent)
  label.textContent = word
  setTimeout(() => (label.textContent = usual), 2000)
}

export default function ({ data: { address, name }, parentElement }) {
  const [share, copy] = parentElement.querySelectorAll("button")
  const files = (blob) => [new File([blob], name, { type: "image/png" })]

  share.onclick = async () => {
    let blob
    try {
      blob = await fetched(address)
    } catch {
      return say(share, "Not there, try again")
    }
    try {
      await navigator.share({ files: files(blob) })
    } catch (error) {
      // A picture that came late finds the tap forgotten; the next one has it at once.
      if (error.name === "NotAllowedError") say(share, "Tap again")
    }
  }

  copy.onclick = async () => {
    const picture = fetched(address)
    try {
      // With a promise, as Safari wants it in the same moment as the tap.
      await navigator.clipboard.write([new ClipboardItem({ "image/png": picture })])
      say(copy, "Copied")
    } catch {
      say(copy, await picture.then(() => "Not allowed", () => "Not there, try again"))
    }
  }

  // Until now they are hidden: a tap would have gone nowhere.
  share.hidden = !navigator.canShare?.({ files: files("") })
  copy.hidden = !(navigator.clipboard?.write && window.ClipboardItem)
}
