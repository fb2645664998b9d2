import { Button, Textarea } from '@mantine/core'
import { useQueryClient } from '@tanstack/react-query'
import { type ReactNode, useRef, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { useSession } from '../app/session.tsx'
import { Dialog } from './dialog.tsx'
import { Begun, useDraft } from './draft.tsx'
import { Refusal } from './states.tsx'

/**
 * Asks before something that cannot be taken back, or that authorises: it names exactly what will be done, its button says
 * the verb, and a refusal stays where it was met.
 */
export function Ask(props: {
  opened: boolean
  close: () => void
  title: string
  verb: string
  danger?: boolean
  /** What the button says that does nothing, where `Cancel` would be the deed. */
  back?: string
  /** What will be done, and what follows. */
  children: ReactNode
  /** A reason goes with it: may, or must. */
  reason?: 'may' | 'must'
  /** What the reason is about, by which it is kept; the title, unless that becomes another while it is open. */
  thing?: string
  /** Something was filled in beside the reason: a press beside the dialog does not take it along. */
  filled?: boolean
  ready?: boolean
  /** Lists of the project that are asked for again afterwards, refused or not: part of it may have been done. */
  changes?: readonly string[]
  act: (reason: string | undefined) => Promise<unknown>
}) {
  const { opened, close, title, verb, danger = false, back, children, reason, ready = true, changes = [], act } = props
  const { thing = title, filled = false } = props
  const again = useAgain()
  const { t } = useTranslation()
  const draft = useDraft(`reason: ${thing}`, '')
  const text = draft.value
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<unknown>(null)
  const shut = () => {
    setError(null)
    close()
  }
  const giveUp = () => {
    draft.startOver()
    shut()
  }
  const acts = useRef(false)
  const submit = async () => {
    if (acts.current) return
    acts.current = true
    setBusy(true)
    setError(null)
    try {
      await act(text.trim() === '' ? undefined : text.trim())
      draft.startOver()
      close()
    } catch (refused) {
      setError(refused)
    } finally {
      again(...changes)
      acts.current = false
      setBusy(false)
    }
  }
  return (
    <Dialog
      opened={opened}
      onClose={shut}
      title={title}
      closeOnClickOutside={text === '' && !filled}
      closeButtonProps={{ 'aria-label': t('action.close') }}
      size="lg"
    >
      <form
        onSubmit={(event) => {
          event.preventDefault()
          void submit()
        }}
      >
        <div className="ask">{children}</div>
        {reason !== undefined && <Begun of={draft} />}
        {reason !== undefined && (
          <Textarea
            mt="sm"
            label={reason === 'must' ? t('form.reason') : t('form.reasonOptional')}
            value={text}
            onChange={(event) => draft.write(event.currentTarget.value)}
            required={reason === 'must'}
            withAsterisk={false}
            autosize
            minRows={2}
            maxLength={2000}
          />
        )}
        <div className="ask-buttons">
          <Refusal error={error} />
          <Button variant="default" onClick={giveUp}>
            {back ?? t('action.cancel')}
          </Button>
          <Button
            type="submit"
            loading={busy}
            disabled={!ready || (reason === 'must' && text.trim() === '')}
            {...(danger ? { color: 'red.8' } : {})}
          >
            {verb}
          </Button>
        </div>
      </form>
    </Dialog>
  )
}

/** Asks for lists of the project again, by name: what was done changed them. */
export function useAgain(): (...names: string[]) => void {
  const { project } = useSession()
  const queries = useQueryClient()
  return (...names) => {
    for (const name of names) void queries.invalidateQueries({ queryKey: [project, name] })
  }
}

/** Runs one action at a time and keeps its refusal; what is pressed meanwhile, by a key that no button guards, is not done again. */
export function useAction(): {
  busy: boolean
  error: unknown
  run: (work: () => Promise<unknown>) => Promise<boolean>
  clear: () => void
} {
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<unknown>(null)
  const acts = useRef(false)
  const run = async (work: () => Promise<unknown>) => {
    if (acts.current) return false
    acts.current = true
    setBusy(true)
    setError(null)
    try {
      await work()
      return true
    } catch (refused) {
      setError(refused)
      return false
    } finally {
      acts.current = false
      setBusy(false)
    }
  }
  return { busy, error, run, clear: () => setError(null) }
}
