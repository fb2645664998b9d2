import { Button, Skeleton } from '@mantine/core'
import type { UseQueryResult } from '@tanstack/react-query'
import { ConnectionLost, WritError } from '@writ/sdk'
import { type ReactNode, useCallback, useDeferredValue, useId } from 'react'
import { useTranslation } from 'react-i18next'
import { sayFound } from '../words/index.ts'
import { fieldOf, useFaultyFields } from './faulty-fields.ts'
import { Icon, type IconName } from './icons.tsx'

/** Grey lines where text will be; a screen reader hears that something is being loaded. */
export function Loading({ lines = 4, whole = false }: { lines?: number; whole?: boolean }) {
  const { t } = useTranslation()
  return (
    <div className={whole ? 'whole' : 'loading'} role="status" aria-label={t('state.loading')}>
      {Array.from({ length: lines }, (_, i) => (
        // Lines that differ in nothing but their place.
        // biome-ignore lint/suspicious/noArrayIndexKey: they never move
        <Skeleton key={i} height={12} mt={14} width={`${90 - ((i * 23) % 45)}%`} radius="sm" animate={false} />
      ))}
    </div>
  )
}

/** Nothing is here: what would be, and how it comes to be here. */
export function Empty(props: { icon?: IconName; title: string; text?: ReactNode; children?: ReactNode }) {
  const { icon = 'file', title, text, children } = props
  return (
    <div className="empty">
      <Icon name={icon} size={28} />
      <p className="empty-title">{title}</p>
      {text !== undefined && <p className="dimmed">{text}</p>}
      {children}
    </div>
  )
}

/** What is wrong with a field, in the viewer's language where we have the sentence. */
export function useFaultWords(): (fault: WritError['fields'][number]) => string {
  const { t, i18n } = useTranslation()
  return useCallback(
    ({ code, message }) => {
      const key = `faults.${code}`
      const count = Number(/\d+/.exec(message)?.[0] ?? 1)
      const said = sayFound(message)
      // What it must be is more than that it is something else.
      if (said !== message && /^(pattern|format|type)$/.test(code ?? '')) return said
      return i18n.exists(key) ? t(key as 'faults.pattern', { message, count }) : said
    },
    [t, i18n],
  )
}

/** What a refusal says, in the viewer's language where we have the sentence. `labels`: what a form calls its fields. */
function useSentence(): (error: unknown, labels?: ReadonlyMap<string, string>) => string {
  const { t, i18n } = useTranslation()
  const faultOf = useFaultWords()
  return (error, labels) => {
    if (error instanceof ConnectionLost) return t('error.lost')
    if (!(error instanceof WritError)) return error instanceof Error ? sayFound(error.message) : String(error)
    const key = `codes.${error.code}`
    const fields = error.fields.map((field) => {
      const name = field.path.replace(/^(body|query|params)\./, '')
      return `${labels?.get(fieldOf(field.path)) ?? name}${t('error.colon')}${faultOf(field)}`
    })
    // Codes are many and sentences are written for the common ones; the server's own is the rest.
    const own = i18n.exists(key) ? t(key as 'codes.LOGIN_FAILED') : sayFound(error.detail)
    return fields.length === 0 ? own : `${own}${t('error.inside', { what: fields.join(t('error.between')) })}`
  }
}

/** What happened, what it means, what to do, and the request to ask about. */
export function Failed(props: { error: unknown; retry?: () => unknown; whole?: boolean }) {
  const { error, retry, whole = false } = props
  const { t } = useTranslation()
  const sentence = useSentence()
  const code = error instanceof WritError ? error.code : null
  const denied = error instanceof WritError && error.status === 403
  const missing = error instanceof WritError && error.status === 404
  const lost = error instanceof ConnectionLost
  const title = denied
    ? t('error.denied')
    : missing
      ? t('error.missing')
      : lost
        ? t('error.offline')
        : t('error.failed')
  return (
    <div className={whole ? 'whole' : ''}>
      <div className="failed" role="alert">
        <Icon name={denied ? 'hand' : 'warning'} size={20} />
        <div>
          <p className="failed-title">{title}</p>
          <p>{sentence(error)}</p>
          {code !== null && (
            <p className="dimmed small">
              <a href={`/docs/errors#${code}`}>{code}</a>
              {error instanceof WritError && error.request_id !== '' && (
                <> · {t('error.request', { id: error.request_id })}</>
              )}
            </p>
          )}
          {retry && !denied && (
            <Button mt="xs" variant="default" onClick={() => void retry()}>
              {t('action.retry')}
            </Button>
          )}
        </div>
      </div>
    </div>
  )
}

/** A refusal beside the button that met it. */
export function Refusal({ error }: { error: unknown }) {
  const sentence = useSentence()
  const { t } = useTranslation()
  const id = useId()
  const { place, labels } = useFaultyFields(error, id)
  if (error === null || error === undefined) return null
  const known = error instanceof WritError ? error : null
  const [before, after] = t('error.inside', { what: '|' }).split('|')
  return (
    <p className="refusal" role="alert" id={id} ref={place}>
      <Icon name="warning" size={14} /> {sentence(error, labels)}
      {known && (
        <span className="small">
          {before}
          <a href={`/docs/errors#${known.code}`}>{known.code}</a>
          {known.request_id !== '' && <> · {t('error.request', { id: known.request_id })}</>}
          {after}
        </span>
      )}
    </p>
  )
}

/**
 * Shows what a query answered, or that it is being asked, or why it was not answered. Old data stays while it is offline. What comes is
 * drawn in between other things (`useDeferredValue`), so that a large answer holds up neither a key nor a press.
 */
export function Answer<T>(props: { of: UseQueryResult<T>; lines?: number; children: (data: T) => ReactNode }) {
  const { of, lines, children } = props
  const data = useDeferredValue(of.data)
  if (data !== undefined && of.data !== undefined) return <>{children(data)}</>
  if (of.isError) return <Failed error={of.error} retry={() => of.refetch()} />
  return <Loading {...(lines === undefined ? {} : { lines })} />
}

/** Shows what two queries answered together, where one alone would say something else. */
export function Both<A, B>(props: {
  of: readonly [UseQueryResult<A>, UseQueryResult<B>]
  lines?: number
  children: (one: A, other: B) => ReactNode
}) {
  const { of, children, ...more } = props
  return (
    <Answer of={of[0]} {...more}>
      {(one) => (
        <Answer of={of[1]} {...more}>
          {(other) => children(one, other)}
        </Answer>
      )}
    </Answer>
  )
}

/**
 * Draws what it holds in between other things, and `before` until then: what surrounds a page, and then the page, are each some hundred
 * elements, which would otherwise be made in one go as soon as the router knows the page.
 */
export function InPieces({ before, children }: { before: ReactNode; children: ReactNode }) {
  return useDeferredValue(true, false) ? children : before
}
