// Example posters; a click tells which one.

export default function ({ data, parentElement, setTriggerValue }) {
  const row = parentElement.querySelector(".row")
  row.replaceChildren(
    ...data.map(({ name, image }) => {
      const picture = document.createElement("img")
      picture.src = image
      picture.alt = `Example poster: ${name}`
      const button = document.createElement("button")
      button.title = name
      button.append(picture)
      button.onclick = () => setTriggerValue("chosen", name)
      return button
    }),
  )
}
