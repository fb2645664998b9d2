import type { Trail } from '@writ/api'
import { useTranslation } from 'react-i18next'

/**
 * What an entry of the log is called. Each log of a project counts from 0, so where there are several the number is said with the log:
 * `log 0 #12`.
 */
export function useEntryNumber(several: boolean): (shard: number | null, index: number) => string {
  const { t } = useTranslation()
  return (shard, index) => (several && shard !== null ? t('audit.entryIn', { shard, index }) : `#${index}`)
}

/** Whether the project has other logs than the one that is shown: it was closed, or continues others. */
export const areSeveral = (logs: Trail['logs']): boolean =>
  logs.length > 1 || logs.some(({ shard, closed }) => shard > 0 || closed)
