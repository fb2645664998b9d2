import type { BundleCheck } from '@writ/tlog'
import type { TFunction } from 'i18next'

/** Values that are words themselves; others are names, numbers and times. */
const WORDS = ['role', 'decision', 'subject', 'result', 'why', 'state', 'asker']

/** What a line of a bundle's verification says, in the language of the page. */
export function checkText(t: TFunction, { code, values = {} }: BundleCheck): string {
  const words: Readonly<Record<string, string>> = t('bundleWord', { returnObjects: true })
  const said = Object.fromEntries(
    Object.entries(values).map(([name, value]) => [
      name,
      WORDS.includes(name) ? (words[String(value).toLowerCase()] ?? value) : value,
    ]),
  )
  return t(`bundleCheck.${code}`, said)
}
