import { Button, FileButton } from '@mantine/core'
import { type ReactNode, useRef, useState } from 'react'
import { useTranslation } from 'react-i18next'

/** Where files are dropped or chosen. The same ones may come again: they may have been corrected meanwhile. */
export function FileDrop({
  take,
  invitation,
  beside,
  compact = false,
  children,
}: {
  take: (files: readonly File[]) => unknown
  /** What is said above the button. */
  invitation: ReactNode
  /** What else is to be chosen about them. */
  beside?: ReactNode
  compact?: boolean
  /** What became of them. */
  children?: ReactNode
}) {
  const { t } = useTranslation()
  const forget = useRef<() => void>(null)
  const [over, setOver] = useState(false)
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: dropping is one way; the button is the other
    <div
      className={`dropzone ${over ? 'dropzone-over' : ''} ${compact ? 'dropzone-compact' : ''}`}
      onDragOver={(event) => {
        event.preventDefault()
        setOver(true)
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault()
        setOver(false)
        void take([...event.dataTransfer.files])
      }}
    >
      {invitation}
      <div className="dropzone-buttons">
        <FileButton
          multiple
          resetRef={forget}
          inputProps={{ 'aria-label': t('artifact.choose') }}
          onChange={(files) => {
            void take(files)
            forget.current?.()
          }}
        >
          {(props) => (
            <Button {...props} variant="default">
              {t('artifact.choose')}
            </Button>
          )}
        </FileButton>
        {beside}
      </div>
      {children}
    </div>
  )
}
