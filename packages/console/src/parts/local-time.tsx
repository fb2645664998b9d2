import { TextInput, type TextInputProps } from '@mantine/core'
import { useTranslation } from 'react-i18next'
import { exactTime } from '../app/format.ts'
import { clockChangeAt } from '../app/local-time.ts'

/** Says of a local time that clocks skip, or show twice, as which it is taken; nothing of any other. */
export function ClockChange({ of }: { of: string }) {
  const { t, i18n } = useTranslation()
  const change = clockChangeAt(of)
  if (change === null) return null
  const said = (at: number) => exactTime(at, i18n.language)
  return (
    <span className="small stale clock-change" role="status">
      {change.what === 'skipped'
        ? t('form.clockSkips', { taken: said(change.taken) })
        : t('form.clockTwice', { taken: said(change.taken), other: said(change.other) })}
    </span>
  )
}

/** A field for a time in the zone of whoever looks. */
export function LocalTime({ description, ...props }: TextInputProps & { value: string }) {
  const changes = clockChangeAt(props.value) !== null
  return (
    <TextInput
      type="datetime-local"
      description={
        changes ? (
          <>
            {description} <ClockChange of={props.value} />
          </>
        ) : (
          description
        )
      }
      {...props}
    />
  )
}
