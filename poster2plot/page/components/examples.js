// Posters to choose from; a click tells which one. After a choice that counts, `answer` is shown.

export default function ({ data, parentElement, setTriggerValue }) {
  const row = parentElement.querySelector(".row")
  row.classList.toggle("large", Boolean(data.large))
  const focused = [...row.children].indexOf(row.getRootNode().activeElement)
  // What was chosen had the focus, also where all is made anew.
  const isLost = data.chosen && document.activeElement === document.body
  const chosen = isLost ? data.posters.findIndex(({ name }) => name === data.chosen) : -1
  row.replaceChildren(
    ...data.posters.map(({ name, label, image }) => {
      const picture = document.createElement("img")
      picture.src = image
      picture.alt = label
      const button = document.createElement("button")
      button.title = label
      button.append(picture)
      button.ariaDisabled = String(Boolean(data.answer)) // so that it keeps the focus
      button.classList.toggle("answer", name === data.answer)
      button.classList.toggle("wrong", name === data.chosen && name !== data.answer)
      button.onclick = () => data.answer || setTriggerValue("chosen", name)
      return button
    }),
  )
  row.children[Math.max(focused, chosen)]?.focus({ preventScroll: true })
}
