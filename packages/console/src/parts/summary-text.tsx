import { useTranslation } from 'react-i18next'
import { sayFound } from '../words/index.ts'
import { readSummary } from './summary.ts'

/** The sentence that a run ended with, in the language of the page where it is one that we know. */
export function SummaryText({ text }: { text: string }) {
  const { t } = useTranslation()
  const read = readSummary(text)
  return read === null ? sayFound(text) : t(`summary.${read.verdict}`, { count: read.count })
}
