import { useQuery } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { useTranslation } from 'react-i18next'
import { exactTime } from '../app/format.ts'
import { useSession } from '../app/session.tsx'
import { Ask } from './ask.tsx'
import { Answer } from './states.tsx'

/**
 * Says how many a filter takes, and which, before any of them is touched: counted, then taken (docs/decisions/0066). The number that
 * was said is on the button, and no more are touched.
 */
export function AskMany(props: {
  /** What the preview is kept under. */
  of: readonly unknown[]
  /** `notes`: of some that the filter takes and that are not counted, why. */
  count: () => Promise<{ count: number; more: boolean; notes?: readonly string[] }>
  /** No more than these, however many there are. */
  most: number
  danger?: boolean
  /** For so many: `Cancel 214 tasks`. */
  title: (most: number) => string
  which: ReactNode
  text: string
  act: (most: number, reason: string | undefined) => Promise<string>
  /** What is asked for again afterwards. */
  changes: readonly string[]
  close: () => void
  said: (text: string) => void
}) {
  const { danger = false, title } = props
  const { project } = useSession()
  const { t, i18n } = useTranslation()
  const preview = useQuery({
    queryKey: ['preview', project, ...props.of],
    queryFn: props.count,
    gcTime: 0,
    retry: false,
  })
  const found = preview.data?.count
  const most = Math.min(found ?? 0, props.most)
  return (
    <Ask
      opened
      close={props.close}
      thing={JSON.stringify(props.of)}
      danger={danger}
      {...(danger ? { back: t('many.keep') } : {})}
      title={found === undefined ? t('many.counting') : title(most)}
      verb={title(most)}
      ready={most > 0}
      {...(danger ? { reason: 'may' as const } : {})}
      changes={props.changes}
      act={async (reason) => props.said(await props.act(most, reason))}
    >
      <Answer of={preview} lines={2}>
        {({ count: all, more, notes = [] }) =>
          all === 0 ? (
            <p>{[t('many.nothing'), ...notes].join(' ')}</p>
          ) : (
            <>
              <p>{props.which}</p>
              {(more || all > most) && <p>{t('many.oldest', { number: most.toLocaleString(i18n.language) })}</p>}
              {notes.length > 0 && <p>{notes.join(' ')}</p>}
              <p className="dimmed">{props.text}</p>
            </>
          )
        }
      </Answer>
    </Ask>
  )
}

/** The period of a choice, as it is said in a sentence. */
export function periodOf(choice: { created_after?: string; created_before: string }, language: string) {
  const said = (at: string) => exactTime(Date.parse(at), language)
  return {
    to: said(choice.created_before),
    from: choice.created_after === undefined ? undefined : said(choice.created_after),
  }
}

/** Parts of a sentence, as the language joins them. */
export const joined = (parts: readonly (string | false | undefined)[], language: string): string =>
  parts.filter(Boolean).join(language === 'zh-CN' ? '，' : ', ')
