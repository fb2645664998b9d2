import type { BundleCheck, BundleReport } from '@writ/tlog'
import type { TFunction } from 'i18next'
import { spellOut } from './plain-text.ts'

/** Values that are words themselves; others are names, numbers and times. */
const WORDS = ['role', 'decision', 'subject', 'result', 'why', 'state', 'asker', 'by']

/** What a line of a bundle's verification says, in the language of the page. */
export const checkText = (t: TFunction, { code, values }: BundleCheck): string =>
  t(`bundleCheck.${code}`, spoken(t, values))

/** Why a bundle does not verify, in the language of the page. */
export const reasonText = (t: TFunction, { why, values }: NonNullable<BundleReport['fault']>): string =>
  t(`bundleReason.${why}`, spoken(t, values))

/** Values as they are said: those that are words in the language of the page; whoever made the bundle typed the others. */
function spoken(t: TFunction, values: Readonly<Record<string, string | number>> = {}) {
  const words: Readonly<Record<string, string>> = t('bundleWord', { returnObjects: true })
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [
      name,
      (WORDS.includes(name) ? words[String(value).toLowerCase()] : undefined) ??
        (typeof value === 'string' ? spellOut(value) : value),
    ]),
  )
}
