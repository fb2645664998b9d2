import { TextInput } from '@mantine/core'
import { useDebouncedCallback } from '@mantine/hooks'
import { useEffect, useRef, useState } from 'react'
import { Icon } from './icons.tsx'

/** A field that filters while one types, and writes into the address when one pauses. `short` stands in it where the label is too long. */
export function Search(props: { value: string; set: (value: string) => void; label: string; short?: string }) {
  const { value, set, label, short = label } = props
  const [text, setText] = useState(value)
  const sent = useRef(value)
  const later = useDebouncedCallback((next: string) => {
    sent.current = next
    set(next)
  }, 250)
  // The address was changed by something else, such as a link that clears the filters.
  useEffect(() => {
    if (value === sent.current) return
    sent.current = value
    setText(value)
  }, [value])
  return (
    <TextInput
      data-filter
      type="search"
      aria-label={label}
      placeholder={short}
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
