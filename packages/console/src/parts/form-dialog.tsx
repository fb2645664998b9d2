import { Button } from '@mantine/core'
import { type FormEvent, type ReactNode, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { useAction, useAgain } from './ask.tsx'
import { Dialog } from './dialog.tsx'
import { Begun, type Draft } from './draft.tsx'
import { ShownOnce } from './shown-once.tsx'
import { Refusal } from './states.tsx'

/**
 * A dialog that makes something of a form. A refusal stays where it was met. `act` gets the text of a named field, trimmed; if it answers a
 * secret, that is shown once in place of the form.
 */
export function FormDialog(props: {
  opened: boolean
  close: () => void
  title: string
  verb: string
  /** What the secret is called. */
  secret?: string
  size?: 'lg'
  ready?: boolean
  /** What its fields are kept in until they are sent: whoever closes the dialog finds them again. */
  draft?: Pick<Draft<unknown>, 'begun' | 'startOver' | 'done'>
  /** Lists of the project that are asked for again afterwards. */
  changes?: readonly string[]
  act: (text: (name: string) => string) => Promise<string | null | undefined>
  children: ReactNode
}) {
  const {
    opened,
    close,
    title,
    verb,
    secret = '',
    size = 'md',
    ready = true,
    draft,
    changes = [],
    act,
    children,
  } = props
  const { t } = useTranslation()
  const again = useAgain()
  const action = useAction()
  const [made, setMade] = useState<string | null>(null)
  const shut = () => {
    setMade(null)
    action.clear()
    close()
  }
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    const form = new FormData(event.currentTarget)
    void action.run(async () => {
      const answer = await act((name) => String(form.get(name) ?? '').trim())
      draft?.done()
      again(...changes)
      if (answer) setMade(answer)
      else shut()
    })
  }
  return (
    <Dialog
      opened={opened}
      onClose={shut}
      title={title}
      size={size}
      // A second press, or one beside the form, would take what was typed along, or a secret that nobody has kept yet.
      closeOnClickOutside={false}
      closeOnEscape={made === null}
      closeButtonProps={{ 'aria-label': t('action.close') }}
    >
      {made !== null ? (
        <ShownOnce secret={made} what={secret} done={shut} />
      ) : (
        <form className="form" onSubmit={submit}>
          {draft && <Begun of={draft} />}
          {children}
          <Refusal error={action.error} />
          <div className="form-buttons">
            <Button type="submit" loading={action.busy} disabled={!ready}>
              {verb}
            </Button>
          </div>
        </form>
      )}
    </Dialog>
  )
}
