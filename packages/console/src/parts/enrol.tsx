import { Button, TextInput } from '@mantine/core'
import { useEffect, useRef, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { deviceOf } from '../app/browser-name.ts'
import { enrolPasskey } from '../app/passkey.ts'
import { useSession } from '../app/session.tsx'
import { FormDialog } from './form-dialog.tsx'
import { Icon } from './icons.tsx'

/** Asks an authenticator, as long as the page wants to know: `stop`, or leaving, ends that without an error. */
export function useAsking(): {
  ask: (work: (stop: AbortSignal) => Promise<unknown>) => Promise<void>
  stop: () => void
} {
  const asked = useRef<AbortController>(null)
  const stop = () => asked.current?.abort()
  // biome-ignore lint/correctness/useExhaustiveDependencies: once, when the page goes
  useEffect(() => stop, [])
  return {
    stop,
    async ask(work) {
      const asking = new AbortController()
      asked.current = asking
      try {
        await work(asking.signal)
      } catch (error) {
        if (!asking.signal.aborted) throw error
      }
    },
  }
}

/** A person who dismisses the prompt of the browser, and a time limit, are both this error. */
export const isCancelled = (error: unknown): boolean => error instanceof Error && error.name === 'NotAllowedError'

/** Makes a passkey for approvals, with a name: others decide by it, and later one finds the key that is lost. */
export function EnrolButton() {
  const { client, me } = useSession()
  const { t } = useTranslation()
  const asking = useAsking()
  const [opened, setOpened] = useState(false)
  const enrol = (name: string) =>
    asking
      .ask((stop) => enrolPasskey(client, me, name, stop))
      .catch((error: unknown) => {
        throw isCancelled(error) ? new Error(t('approve.notMade')) : error
      })
  return (
    <>
      <Button variant="default" onClick={() => setOpened(true)} leftSection={<Icon name="key" size={14} />}>
        {t('signing.enrol')}
      </Button>
      <FormDialog
        opened={opened}
        close={() => {
          asking.stop()
          setOpened(false)
        }}
        title={t('signing.enrol')}
        verb={t('signing.enrolVerb')}
        changes={['signing-keys']}
        act={async (text) => {
          await enrol(text('name'))
          return null
        }}
      >
        <TextInput
          data-autofocus
          label={t('notice.name')}
          description={t('signing.nameHint')}
          name="name"
          defaultValue={deviceOf(navigator.userAgent)}
          maxLength={100}
          required
          withAsterisk={false}
        />
      </FormDialog>
    </>
  )
}
