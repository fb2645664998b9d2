import { TextInput } from '@mantine/core'
import { useDebouncedCallback } from '@mantine/hooks'
import { useState } from 'react'
import { Icon } from './icons.tsx'

/** A field that filters while one types, and writes into the address when one pauses. */
export function Search({ value, set, label }: { value: string; set: (value: string) => void; label: string }) {
  const [text, setText] = useState(value)
  const later = useDebouncedCallback(set, 250)
  return (
    <TextInput
      data-filter
      type="search"
      aria-label={label}
      placeholder={label}
      leftSection={<Icon name="search" size={14} />}
      value={text}
      onChange={(event) => {
        setText(event.currentTarget.value)
        later(event.currentTarget.value)
      }}
      className="filter-text"
    />
  )
}
