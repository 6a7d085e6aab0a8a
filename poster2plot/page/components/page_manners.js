// What a page does by itself: it takes pictures that are pasted or dropped anywhere, brings a new
// result into view, keeps the focus, goes back and forward, and tells screen readers when a plot
// begins, is done, or cannot be had.

const DROPZONE = '[data-testid="stFileUploaderDropzone"]'
const REFUSED = '.st-key-inputs [data-testid="stFileChip"][aria-invalid="true"]'
const CARD = '.st-key-results [class*="st-key-card-"]:has([data-stale="false"] [data-card])'
const MOST_BYTES = 20 * 2 ** 20 // of poster2plot.images.limits
const CALM_FRAMES = 4 // for so long nothing may move before the page scrolls
const MOST_FRAMES = 90
const BETWEEN_SENTENCES = 300 // milliseconds, in which a screen reader takes one up
const PLOT_HEIGHT = 200 // pixels, of a long one

function toggleInputs(open) {
  const state = open ? "details:not([open])" : "details[open]"
  document.querySelector(`.st-key-inputs ${state} > summary`)?.click()
}

// The uploader says of each file what is wrong with it, where it can be seen.
function upload(files) {
  const input = document.querySelector(`${DROPZONE} input`)
  if (!files.length || !input) return
  const kinds = input.accept.split(",").map((kind) => kind.trim().toLowerCase())
  const isTaken = ({ name, size }) =>
    size <= MOST_BYTES && kinds.some((kind) => name.toLowerCase().endsWith(kind))
  if (!files.every(isTaken)) toggleInputs(true)
  const transfer = new DataTransfer()
  files.forEach((file) => transfer.items.add(file))
  input.files = transfer.files
  input.dispatchEvent(new Event("change", { bubbles: true }))
}

function paste(event) {
  const { files } = event.clipboardData
  const pictures = [...files].filter(({ type }) => type.startsWith("image/"))
  // Cells of a table bring their picture along; into a field it is the text that is pasted.
  const isText = event.clipboardData.types.includes("text/plain")
  if (!pictures.length || (isText && event.target.matches?.(EDITABLE))) return
  event.preventDefault()
  upload(pictures)
}

function dragover(event) {
  if (event.dataTransfer?.types.includes("Files")) event.preventDefault()
}

function drop(event) {
  // The uploader looks after what falls on it, and text may fall into fields.
  if (event.target.closest?.(DROPZONE) || !event.dataTransfer?.types.includes("Files")) return
  event.preventDefault() // else the browser would leave the page for the picture
  upload([...event.dataTransfer.files])
}

const EDITABLE = "input, textarea, [contenteditable]"
const TITLES = ".st-key-titles textarea"
const IDLE = 600 // milliseconds without a key, after which a name is looked for
const NO_NAME = /^\s*((tt|nm|co|ls)\d*\s*$|www\.|https?:|\d{5,}|\W*$)|[,;]|^..?$/i
let idle = 0

// Streamlit takes what was typed when the field is left, or on Ctrl and Enter.
function commit(field) {
  clearTimeout(idle)
  field.dispatchEvent(
    new KeyboardEvent("keydown", { key: "Enter", code: "Enter", ctrlKey: true, bubbles: true }),
  )
}

function keydown(event) {
  const plain = !(event.shiftKey || event.ctrlKey || event.metaKey || event.isComposing)
  if (event.key !== "Enter" || !plain || !event.target.matches?.(TITLES)) return
  event.preventDefault()
  commit(event.target)
}

function input(event) {
  if (!event.target.matches?.(TITLES)) return
  clearTimeout(idle)
  // Half an id would only be refused.
  if (NO_NAME.test(event.target.value.split("\n").at(-1))) return
  idle = setTimeout(commit, IDLE, event.target)
}

// A card's place moves while the inputs close above it, and a new run may put another one there.
function whenCalm(find, then) {
  let [top, calm, frames] = [NaN, 0, 0]
  function look() {
    const element = find()
    const now = element?.getBoundingClientRect().top
    calm = element && now === top ? calm + 1 : 0
    top = now
    frames += 1
    if (calm < CALM_FRAMES && frames < MOST_FRAMES) requestAnimationFrame(look)
    else if (element) then(element)
  }
  requestAnimationFrame(look)
}

function bringIntoView(element, block) {
  const { top, bottom } = element.getBoundingClientRect()
  // On a phone the plot comes below the poster, and is still to come.
  const room = matchMedia("(max-width: 40rem)").matches ? PLOT_HEIGHT : 0
  if (top >= 0 && bottom + room <= innerHeight) return
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches
  element.scrollIntoView({ block, behavior: still ? "auto" : "smooth" })
}

const contrasts = new Map() // by card, without what another plot stands beside its own
function lookForContrast({ dataset: { card, without } }) {
  if (without && without !== contrasts.get(card)) {
    const contrast = () => document.querySelector(`.st-key-contrast-${card}`)
    if (!contrast()) return // it is still to come
    whenCalm(contrast, (element) => bringIntoView(element, "nearest"))
  }
  contrasts.set(card, without)
}

const known = new Set() // the cards that were there before
const told = new WeakSet() // files that were refused, as a result came
function lookForResult() {
  const marks = [
    ...document.querySelectorAll(
      '.st-key-results .stElementContainer[data-stale="false"] [data-card]',
    ),
  ].filter(({ dataset }) => dataset.state !== "fetching")
  // Of several that come together the first is looked at; the others come below it.
  const newest = marks[0] && !known.has(marks[0].dataset.card) ? marks[0] : null
  // While the page runs, what it has not sent again yet only seems to be gone.
  if (document.querySelector('[data-test-script-state="notRunning"]')) {
    if (known.size && !marks.length) toggleInputs(true)
    known.clear()
  }
  for (const { dataset } of marks) known.add(dataset.card)
  marks.forEach(lookForContrast)
  if (!newest) return
  // What came with it and was refused is told in the inputs, which then stay open and in view.
  const refused = [...document.querySelectorAll(REFUSED)].filter((file) => !told.has(file))
  refused.forEach((file) => told.add(file))
  if (refused.length) return toggleInputs(true)
  if (["writing", "done"].includes(newest.dataset.state)) {
    toggleInputs(false)
  }
  const card = () => document.querySelector(`.st-key-card-${newest.dataset.card}`)
  whenCalm(card, (element) => bringIntoView(element, "start"))
}

// A card replaces its buttons; who works without a mouse goes on where they were.
let focused = null // what had the focus last, its place among its kind, and its successor's name

// Where to go on instead of what is gone for good, by how its name begins: to its kind at the
// same place, or what came for it. The first may be there at once; the others, when the page rests.
const RIDDLE = '.st-key-riddle:has([data-stale="false"])'
const HEIRS = {
  remove: ["remove", `${DROPZONE} button`],
  clear: [`${DROPZONE} button`],
  stop: ["write", CARD],
  write: [CARD],
  forget: ["forget", "open"],
  open: ["visit"],
  visit: ["open"],
  "guess-next": [RIDDLE],
  riddle: [RIDDLE],
  ...Object.fromEntries(["match", "titles", "uploads", "examples"].map((name) => [name, [CARD]])),
}

const isSeen = (element) => element.checkVisibility?.() ?? true

function kindOf(kind) {
  const buttons = `[class*="st-key-${kind}-"][data-stale="false"] button:enabled`
  return [...document.querySelectorAll(/^[a-z]+$/.test(kind) ? buttons : kind)].filter(isSeen)
}

function heirOf(name, place) {
  const buttons = (of) => [...document.querySelectorAll(`.${CSS.escape(of)} button:enabled`)]
  // At either end of the plots one of the two arrows is disabled.
  const twin = name.replace(/Earlier|Later/, (word) => (word === "Later" ? "Earlier" : "Later"))
  const isHere = document.querySelector(`.${CSS.escape(name)}`) // else it is still to come
  const same = isHere && [...buttons(name), ...buttons(twin)].find(isSeen)
  if (same) return same
  if (name.startsWith("st-key-write-")) {
    return document.querySelector(`.${CSS.escape(name.replace("write", "card"))}`)
  }
  const kind = Object.keys(HEIRS).find((each) => name.startsWith(`st-key-${each}`))
  const isAtRest = document.querySelector('[data-test-script-state="notRunning"]')
  const kinds = (HEIRS[kind] ?? []).slice(0, isAtRest ? undefined : 1).map(kindOf)
  const heirs = kinds.find(({ length }) => length) ?? []
  return heirs[Math.min(place, heirs.length - 1)]
}

function focusin({ target }) {
  const keyed = target.closest?.('[class*="st-key-"]')
  const name = [...(keyed?.classList ?? [])].find((each) => each.startsWith("st-key-"))
  const kind = name?.split("-")[2]
  focused = name ? { target, name, place: Math.max(kindOf(kind).indexOf(target), 0) } : null
}

function pointerdown() {
  focused = null
}

function keepFocus() {
  if (!focused) return
  const { target, name, place } = focused
  // A component, whose own buttons have the focus, may have no box.
  const isThere = isSeen(target.closest(".stElementContainer") ?? target)
  if (isThere && target.isConnected && !target.disabled) return
  if (![document.body, target].includes(document.activeElement)) return
  const heir = heirOf(name, place)
  if (heir && !heir.matches("button")) heir.tabIndex = -1
  heir?.focus({ preventScroll: true })
}

const newest = (sentences) => Number(sentences.at(-1)?.dataset.say ?? 0)
let said = null // the number of the last sentence
const unsaid = [] // sentences, of which the first is being said
function tell() {
  // Each place has the sentences that were the last ones when it was written.
  const places = [...document.querySelectorAll('[class*="st-key-status"]')]
    .map((place) => [...place.querySelectorAll("[data-say]")])
    .sort((one, other) => newest(other) - newest(one))
  const sentences = places[0] ?? []
  const last = sentences.findIndex(({ dataset }) => dataset.say === said)
  const news = sentences.slice(last + 1)
  if (!news.length) return
  said = news.at(-1).dataset.say
  const isSpeaking = unsaid.length > 0
  unsaid.push(...news.map(({ textContent }) => textContent))
  if (!isSpeaking) speak()
}

function speak() {
  let region = document.getElementById("spoken")
  if (!region) {
    region = document.createElement("div")
    region.id = "spoken"
    region.setAttribute("role", "status")
    document.body.append(region)
  }
  region.textContent = unsaid[0]
  setTimeout(() => {
    unsaid.shift()
    if (unsaid.length) speak()
  }, BETWEEN_SENTENCES)
}

export default function ({ setTriggerValue }) {
  let asked = false
  const popstate = () => setTriggerValue("returned", location.href)
  const observer = new MutationObserver(() => {
    if (asked) return
    asked = true
    requestAnimationFrame(() => {
      asked = false
      lookForResult()
      keepFocus()
      tell()
    })
  })
  observer.observe(document.getElementById("root"), {
    childList: true,
    subtree: true,
    attributeFilter: [
      "data-say", "data-card", "data-stale", "data-state", "data-test-script-state", "data-without",
      "open",
    ],
  })
  const listeners = { paste, dragover, drop, keydown, input, focusin, pointerdown }
  for (const [name, listener] of Object.entries(listeners)) {
    document.addEventListener(name, listener)
  }
  addEventListener("popstate", popstate)
  return () => {
    removeEventListener("popstate", popstate)
    observer.disconnect()
    for (const [name, listener] of Object.entries(listeners)) {
      document.removeEventListener(name, listener)
    }
  }
}
