// A poster beside its plots; the words of a plot show where on the poster the model looked.

const WARM = [[120, 20, 10], [235, 80, 20], [255, 200, 60]] // from little to much attention

function color(weight) {
  const place = weight * (WARM.length - 1)
  const below = Math.min(Math.floor(place), WARM.length - 2)
  const [low, high] = WARM.slice(below)
  return low.map((value, i) => value + (high[i] - value) * (place - below))
}

// `weights` are 0 to 255, row by row of the grid.
function paint(canvas, grid, weights) {
  ;[canvas.height, canvas.width] = grid
  const context = canvas.getContext("2d")
  const pixels = context.createImageData(canvas.width, canvas.height)
  weights.forEach((weight, i) => {
    pixels.data.set([...color(weight / 255), weight * 0.85], i * 4)
  })
  context.putImageData(pixels, 0, 0)
}

const attention = new Map() // by address, where the model looked for the words of plots

function fetched(address) {
  if (!attention.has(address)) {
    const answer = fetch(address).then((answer) => {
      if (!answer.ok) throw new Error(answer.statusText)
      return answer.json()
    })
    attention.set(address, answer)
    answer.catch(() => attention.delete(address)) // the next word asks again
  }
  return attention.get(address)
}

async function copy(text, button, label) {
  button.textContent = (await copyText(text)) ? "Copied" : "Not allowed"
  setTimeout(() => (button.textContent = label), 2000)
}

function smallButton(label, onclick) {
  const button = document.createElement("button")
  button.className = "small"
  button.textContent = label
  button.onclick = () => onclick(button)
  return button
}

// The page's address has the settings already; `link` has the poster.
function address(link) {
  const url = new URL(location.href)
  for (const name of ["example", "titles", "another", "title", "model"]) url.searchParams.delete(name)
  for (const [name, value] of Object.entries(link)) url.searchParams.set(name, value)
  return url.href
}

async function share(link, text, button) {
  const url = address(link)
  // On a phone the sheet that people know; elsewhere the clipboard is what they expect.
  if (navigator.share && matchMedia("(pointer: coarse)").matches) {
    await navigator.share({ title: document.title, text, url }).catch(() => {})
  } else {
    await copy(url, button, "Link to this plot")
  }
}

function plotItem(candidate, rank, show, link) {
  const item = document.createElement("li")
  const plot = document.createElement("p")
  plot.className = "plot"
  const words = candidate.words.map((word, place) => {
    const span = document.createElement("span")
    span.className = "word"
    span.textContent = word
    // A plot that comes to lie under a pointer at rest must not cover its poster.
    const each = { span, rank, place }
    span.onpointermove = () => span.classList.contains("shown") || show(each)
    span.onclick = () => show(each, true)
    return each
  })
  words.forEach(({ span }, i) => plot.append(...(i ? [" ", span] : [span])))
  plot.onpointerleave = () => show(null)
  if (words.length) {
    // One stop of the tab key for the whole plot, arrow keys from word to word.
    plot.tabIndex = 0
    plot.setAttribute("aria-describedby", "hint")
    let place = -1
    plot.onkeydown = (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key]
      if (!step || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return
      event.preventDefault()
      const next = Math.min(Math.max(place + step, 0), words.length - 1)
      if (next === place) return // to show it again would hide it
      place = next
      show(words[place], true)
    }
    plot.onblur = () => show(null, true)
  } else {
    plot.textContent = candidate.text
  }

  const below = document.createElement("footer")
  below.append(smallButton("Copy", (button) => copy(candidate.text, button, "Copy")))
  if (link) {
    below.append(smallButton("Link to this plot", (button) => share(link, candidate.text, button)))
  }
  const score = document.createElement("span")
  score.textContent = candidate.note
  below.append(score)
  item.append(plot, below)
  return item
}

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".view")
  const picture = root.querySelector("img")
  const canvas = root.querySelector("canvas")
  picture.src = data.image
  picture.alt = data.alt
  picture.parentElement.style.setProperty("--width", `${data.width}px`)
  const hint = root.querySelector("#hint")
  const help = hint.dataset.help ?? (hint.dataset.help = hint.textContent)
  function explain(word, aloud) {
    hint.setAttribute("aria-live", aloud ? "polite" : "off")
    if (!word) return hint.replaceChildren(help)
    const quoted = document.createElement("strong")
    quoted.textContent = word
    const bar = document.createElement("i")
    bar.className = "bar"
    bar.style.background = `linear-gradient(to right, ${WARM.map((rgb) => `rgb(${rgb})`)})`
    hint.replaceChildren("Where it looked for ", quoted, ": little ", bar, " much")
  }

  let shown = null
  let picked = null // a clicked word stays when the pointer leaves
  function show(word, pick = false) {
    if (pick) picked = word !== picked ? word : null
    shown?.span.classList.remove("shown")
    shown = pick ? picked : word ?? picked
    shown?.span.classList.add("shown")
    explain(shown?.span.textContent, pick)
    look()
  }
  // The poster stays as it is until the answer is there, and without one.
  async function look() {
    const word = shown
    const looked = word && (await fetched(data.attention).catch(() => null))
    if (word !== shown || word?.span.isConnected === false) return // it is another one by now
    const weights = looked?.plots[word.rank][word.place]
    root.classList.toggle("looking", Boolean(weights))
    if (weights) paint(canvas, looked.grid, weights)
  }

  const plots = root.querySelector("ol")
  plots.replaceChildren(
    ...data.candidates.map((candidate, i) => plotItem(candidate, i, show, i === 0 && data.link)),
  )
  plots.classList.toggle("several", data.candidates.length > 1)
  show(null, true)
  hint.hidden = !data.candidates.some(({ words }) => words.length)
}
