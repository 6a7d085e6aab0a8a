// Buttons that share a picture as a file, or copy it; the page makes it when it is asked for.

const pictures = new WeakMap() // of each place, the picture that comes

function coming() {
  const picture = { blob: null }
  picture.promise = new Promise((resolve) => {
    picture.take = (blob) => resolve((picture.blob = blob))
  })
  return picture
}

export default function ({ data, parentElement, setTriggerValue }) {
  const [share, copy] = parentElement.querySelectorAll("button")
  if (!pictures.has(parentElement)) pictures.set(parentElement, coming())
  const picture = pictures.get(parentElement)
  if (data.picture) fetch(data.picture).then((answer) => answer.blob()).then(picture.take)

  function asked() {
    if (!picture.blob) setTriggerValue("asked", true)
    return picture.promise
  }

  function say(button, word) {
    const label = button.querySelector("span")
    const usual = label.dataset.usual ?? (label.dataset.usual = label.textContent)
    label.textContent = word
    setTimeout(() => (label.textContent = usual), 2000)
  }

  const files = (blob) => [new File([blob], data.name, { type: "image/png" })]
  share.hidden = !navigator.canShare?.({ files: files("") })
  share.onclick = async () => {
    try {
      await navigator.share({ files: files(await asked()) })
    } catch ({ name }) {
      // A picture that came late finds the tap forgotten; the next one has it at once.
      if (name === "NotAllowedError") say(share, "Tap again")
    }
  }
  copy.hidden = !(navigator.clipboard?.write && window.ClipboardItem)
  copy.onclick = async () => {
    try {
      // With a promise, as Safari wants it in the same moment as the tap.
      await navigator.clipboard.write([new ClipboardItem({ "image/png": asked() })])
      say(copy, "Copied")
    } catch {
      say(copy, "Not allowed")
    }
  }
}
