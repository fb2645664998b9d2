/** Texts of values: times, sizes, ids. Pure, so that they are tested without a page. */

const STEPS: readonly [Intl.RelativeTimeFormatUnit, number][] = [
  ['year', 31_536_000],
  ['month', 2_592_000],
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
]

/** A formatter of the language, made once: making one costs as much as a hundred uses, and lists have hundreds of times. */
function kept<T>(make: (language: string) => T): (language: string) => T {
  const known = new Map<string, T>()
  return (language) => {
    const found = known.get(language) ?? make(language)
    known.set(language, found)
    return found
  }
}

const relativeWords = kept((language) => new Intl.RelativeTimeFormat(language, { numeric: 'auto' }))
// For what is to come within a minute `Intl` has no words, and "now" would be wrong; what was just now is not "now" in Chinese.
const WITHIN_A_MINUTE = { en: 'within a minute', zh: '一分钟内' }

const exactWords = kept(
  (language) => new Intl.DateTimeFormat(language, { dateStyle: 'medium', timeStyle: 'medium', hourCycle: 'h23' }),
)
const zoneWords = kept((language) => new Intl.DateTimeFormat(language, { timeZoneName: 'shortOffset' }))
const countWords = kept((language) => new Intl.NumberFormat(language))

/** "3 minutes ago", "in 2 days"; less than a minute ago "now", and less than a minute ahead "within a minute". Times in milliseconds. */
export function relativeTime(at: number, now: number, language: string): string {
  const seconds = (at - now) / 1_000
  const words = relativeWords(language)
  // What was given seven days a minute ago does not end in six; nearer than this, days have names and are not rounded to the next.
  const FAR = 3 * 86_400
  for (const [unit, size] of STEPS)
    if (Math.abs(seconds) >= size)
      return spaced(words.format(seconds > FAR ? Math.round(seconds / size) : Math.trunc(seconds / size), unit))
  const chinese = language.startsWith('zh')
  if (seconds > 0) return WITHIN_A_MINUTE[chinese ? 'zh' : 'en']
  return chinese ? '刚刚' : words.format(0, 'second')
}

/** The exact time in the viewer's zone, with the zone's name. */
export function exactTime(at: number, language: string, timeZone?: string): string {
  const words =
    timeZone === undefined
      ? exactWords(language)
      : new Intl.DateTimeFormat(language, { dateStyle: 'medium', timeStyle: 'medium', hourCycle: 'h23', timeZone })
  return `${words.format(at)} ${zoneName(at, language, timeZone)}`
}

// In one's own zone the name says how far it is from UTC and nothing else.
const zoneNames = new Map<string, string>()

function zoneName(at: number, language: string, timeZone?: string): string {
  if (timeZone !== undefined) return zoneNameOf(at, language, timeZone)
  const key = `${language} ${new Date(at).getTimezoneOffset()}`
  const found = zoneNames.get(key) ?? zoneNameOf(at, language)
  zoneNames.set(key, found)
  return found
}

function zoneNameOf(at: number, language: string, timeZone?: string): string {
  const parts =
    timeZone === undefined
      ? zoneWords(language)
      : new Intl.DateTimeFormat(language, { timeZoneName: 'shortOffset', timeZone })
  return parts.formatToParts(at).find(({ type }) => type === 'timeZoneName')?.value ?? ''
}

const SYMBOLS = { ms: 'ms', s: 's', min: 'min', h: 'h', d: 'd' }
// As Chinese text has them; Intl's own short units run into the numbers, and differ between browsers.
const CHINESE = { ms: '毫秒', s: '秒', min: '分钟', h: '小时', d: '天' }

/**
 * A length of time in the two largest units, without those that are none: "2 min 5 s", "15 min"; in Chinese "2 分钟 5 秒". Milliseconds
 * below a second.
 */
export function duration(ms: number, language: string): string {
  const unit = language.startsWith('zh') ? CHINESE : SYMBOLS
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))} ${unit.ms}`
  const s = Math.round(ms / 1_000)
  if (s < 60) return `${s} ${unit.s}`
  if (s < 3_600) return both(Math.floor(s / 60), unit.min, s % 60, unit.s)
  if (s < 86_400) return both(Math.floor(s / 3_600), unit.h, Math.floor((s % 3_600) / 60), unit.min)
  return both(Math.floor(s / 86_400), unit.d, Math.floor((s % 86_400) / 3_600), unit.h)
}

const both = (large: number, unit: string, small: number, smaller: string): string =>
  small === 0 ? `${large} ${unit}` : `${large} ${unit} ${small} ${smaller}`

/** An interval in the largest unit that it is a multiple of: "2 days", "90 minutes". */
export function span(seconds: number, language: string): string {
  const [unit, size] = STEPS.slice(2).find(([, one]) => seconds % one === 0) ?? ['second', 1]
  return spaced(new Intl.NumberFormat(language, { style: 'unit', unit, unitDisplay: 'long' }).format(seconds / size))
}

/** Intl sets no space between a number and Chinese; all other texts have one. */
const spaced = (text: string): string => text.replace(/(\d)(\p{Script=Han})/u, '$1 $2')

/** Bytes with a decimal unit: "1.5 kB". */
export function bytes(count: number): string {
  if (count < 1_000) return `${count} B`
  const units = ['kB', 'MB', 'GB', 'TB']
  let value = count
  let unit = -1
  do {
    value /= 1_000
    unit++
  } while (value >= 999.95 && unit < units.length - 1)
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`
}

/** The beginning and the end of a long name: what tells it from others at both ends. */
export const middle = (text: string, keep = 6): string =>
  text.length <= keep * 2 + 1 ? text : `${text.slice(0, keep)}…${text.slice(-keep)}`

/** Names one after the other, as the language separates them. */
export const listed = (names: readonly string[], language: string): string =>
  names.join(language.startsWith('zh') ? '、' : ', ')

/** Whole numbers as the language groups them. */
export const count = (value: number, language: string): string =>
  // Nothing to group: the first page is there before the browser has loaded how.
  Number.isInteger(value) && value >= 0 && value < 1_000 ? String(value) : countWords(language).format(value)

/** A share from 0 to 1 in percent; what is more than none is never told as none. */
export const percent = (share: number | null, language: string): string =>
  share === null
    ? '–'
    : share > 0 && share < 0.000_5
      ? '< 0.1%'
      : new Intl.NumberFormat(language, { style: 'percent', maximumFractionDigits: share < 0.1 ? 1 : 0 }).format(share)

const usdWords = kept(
  (language) =>
    new Intl.NumberFormat(language, {
      style: 'currency',
      currency: 'USD',
      minimumFractionDigits: 2,
      maximumFractionDigits: 9,
    }),
)

/** US dollars as the language writes them, to the last digit that is known: what cost little is not told as nothing. */
export const usd = (value: number, language: string): string => usdWords(language).format(value)

/** US dollars at a glance: to the cent, and what is less than a dollar to three digits. */
export const roughUsd = (value: number, language: string): string =>
  usd(value >= 1 ? Math.round(value * 100) / 100 : Number(value.toPrecision(3)), language)
