/**
 * Numbers of JSON that JavaScript reads as others: 12345678901234567890 becomes …567000, and 1e400 no number at all, which is written
 * as null. Ids of other systems are such numbers. It imports nothing: `@writ/api/exact-numbers` is for everybody who reads what a person
 * or a program wrote.
 */

/** Where in a text of JSON the first number stands that is read as another, such as `.order.id`; undefined if none is. */
export function alteredNumber(json: string): string | undefined {
  for (const found of alteredNumbers(json)) return found
  return undefined
}

/** Where each of them stands, in the order of the text. */
export function* alteredNumbers(json: string): Generator<string, void> {
  // Hardly any text has numbers of so many digits, and no other is walked through.
  if (!LONG.test(json)) return
  /** The names and places that lead to what is read next. */
  const steps: (string | number)[] = []
  let text = ''
  // Of its own: between two finds somebody else may look through another text.
  const next = new RegExp(TOKEN)
  for (let found = next.exec(json); found; found = next.exec(json)) {
    const [token] = found
    const last = steps.length - 1
    if (token === '"') {
      const end = endOfText(json, found.index)
      text = json.slice(found.index, end + 1)
      next.lastIndex = end + 1
    } else if (token === '{') steps.push('')
    else if (token === '[') steps.push(0)
    else if (token === '}' || token === ']') steps.pop()
    else if (token === ':') steps[last] = text
    else if (token === ',') {
      const place = steps[last]
      if (typeof place === 'number') steps[last] = place + 1
    } else if (isAltered(token))
      yield steps.map((step) => `.${typeof step === 'number' ? step : nameOf(step)}`).join('')
  }
}

/** Where the string that begins at `start` ends: at the next quote that is not escaped. */
export function endOfText(json: string, start: number): number {
  for (let end = json.indexOf('"', start + 1); end !== -1; end = json.indexOf('"', end + 1)) {
    let escapes = 0
    while (json[end - 1 - escapes] === '\\') escapes++
    if (escapes % 2 === 0) return end
  }
  return json.length
}

const LONG = /[[:,\s]-?(?:\d{16}|\d[\d.]*[eE]\+?\d{3})/
const TOKEN = /["{}[\],:]|-?\d[\d.eE+-]*/g

/** Whether a number of JSON is read as another. Fractions are rounded everywhere and by everybody: they are what they were. A whole number is not. */
export function isAltered(number: string): boolean {
  const value = Number(number)
  if (Number.isNaN(value)) return false
  if (!Number.isFinite(value)) return true
  if (Number.isSafeInteger(value) || !/^-?\d+$/.test(number)) return false
  // From 1e21 on it is written with an exponent.
  return Math.abs(value) < 1e21 ? String(value) !== number : BigInt(value) !== BigInt(number)
}

/** A number, a whole one as a bigint, as JSON takes it to be sent; undefined where it would be read as another. */
export function asSent(number: number | bigint): number | undefined {
  const value = Number(number)
  return Number.isFinite(value) && !(typeof number === 'bigint' && isAltered(String(number))) ? value : undefined
}

function nameOf(text: string): string {
  try {
    return String(JSON.parse(text))
  } catch {
    return text
  }
}
