import { Button } from '@mantine/core'
import type { ReactNode } from 'react'
import { useHere } from '../app/here.tsx'
import { Icon, type IconName } from './icons.tsx'

/** A value of a row. Where rows are cards it has the word that the head of its column has elsewhere. */
export function Told(props: { word: string; children: ReactNode; className?: string; left?: boolean }) {
  const { word, children, className = '', left = false } = props
  return (
    <td className={left ? className : `right ${className}`}>
      <span className="card-word">{word} </span>
      {children}
    </td>
  )
}

/** What can be done with the thing of a row; `of` is its name, for whoever hears the button without its row. */
export function RowAct(props: { verb: string; of: string; onClick: () => void; icon?: IconName; disabled?: boolean }) {
  const { verb, of, onClick, icon, disabled = false } = props
  const { word } = useHere()
  return (
    <Button
      variant="default"
      aria-label={`${verb}${word('error.colon')}${of}`}
      disabled={disabled}
      onClick={onClick}
      {...(icon ? { leftSection: <Icon name={icon} size={13} /> } : {})}
    >
      {verb}
    </Button>
  )
}
