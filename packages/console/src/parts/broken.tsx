import { Fragment } from 'react'

/** A name of machines that may be wider than its place: it goes on in the next line behind a mark, not within a word. */
export function Broken({ name }: { name: string }) {
  const parts = name.split(/(?<=[_:/@-])|(?<=\.)(?!\d)/)
  return (
    <span className="broken">
      {parts.map((part, i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: parts are their places
        <Fragment key={i}>
          {i > 0 && <wbr />}
          {part}
        </Fragment>
      ))}
    </span>
  )
}
