import { Button } from '@mantine/core'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { Dialog } from './dialog.tsx'
import { Icon } from './icons.tsx'

/** A secret that the server tells once: copied, and then gone from the page. */
export function ShownOnce({ secret, what, done }: { secret: string; what: string; done: () => void }) {
  const { t } = useTranslation()
  const [copied, setCopied] = useState(false)
  return (
    <div className="once">
      <p>{t('once.text', { what })}</p>
      <pre className="code secret">{secret}</pre>
      <div className="form-buttons">
        <Button
          onClick={() => void navigator.clipboard.writeText(secret).then(() => setCopied(true))}
          leftSection={<Icon name={copied ? 'check' : 'copy'} size={14} />}
        >
          {t(copied ? 'once.copied' : 'action.copy')}
        </Button>
        <Button variant="default" onClick={done}>
          {t('once.done')}
        </Button>
      </div>
    </div>
  )
}

/** The same in a dialog of its own, while there is one. */
export function SecretDialog({ secret, what, close }: { secret: string | null; what: string; close: () => void }) {
  const { t } = useTranslation()
  return (
    <Dialog
      opened={secret !== null}
      onClose={close}
      title={what}
      closeOnClickOutside={false}
      closeOnEscape={false}
      closeButtonProps={{ 'aria-label': t('action.close') }}
    >
      {secret !== null && <ShownOnce secret={secret} what={what} done={close} />}
    </Dialog>
  )
}
