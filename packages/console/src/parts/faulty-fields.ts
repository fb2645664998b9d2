import { WritError } from '@writ/sdk'
import { type RefObject, useLayoutEffect, useRef, useState } from 'react'

/** Refusals about one field, which is not in the answer: that it is taken, too weak, not to be reached. */
const FIELD_OF: Readonly<Record<string, readonly string[]>> = {
  SERIAL_TAKEN: ['serial_number'],
  USERNAME_TAKEN: ['username'],
  EMAIL_TAKEN: ['email'],
  PROJECT_EXISTS: ['slug'],
  PASSWORD_WEAK: ['new_password', 'password'],
  PASSWORD_WRONG: ['current_password'],
  TOTP_INVALID: ['totp', 'code'],
  DESTINATION_REFUSED: ['url'],
}

/**
 * Ties a refusal to the fields of the form around it that it is about, which are called as the API calls them: they are marked, refer to
 * it, and the first one has the focus. Each is let go when it is changed. Answers the labels that they have.
 */
export function useFaultyFields(
  error: unknown,
  id: string,
): { place: RefObject<HTMLParagraphElement | null>; labels: ReadonlyMap<string, string> } {
  const place = useRef<HTMLParagraphElement>(null)
  const [labels, setLabels] = useState<ReadonlyMap<string, string>>(new Map())
  useLayoutEffect(() => {
    const form = place.current?.closest('form')
    if (!form || !(error instanceof WritError)) return
    const fields = new Map(
      namesIn(error).flatMap((name) => {
        // Where words are gathered the field is none of the form's by itself.
        const field = form.elements.namedItem(name) ?? form.querySelector(`[data-field="${CSS.escape(name)}"]`)
        return field instanceof HTMLInputElement || field instanceof HTMLTextAreaElement ? [[name, field] as const] : []
      }),
    )
    setLabels(new Map([...fields].map(([name, field]) => [name, field.labels?.[0]?.textContent ?? name])))
    const letGo = [...fields.values()].map((field) => mark(field, id))
    fields.values().next().value?.focus()
    return () => {
      for (const free of letGo) free()
    }
  }, [error, id])
  return { place, labels }
}

/** What a form calls it: of `body.events.2`, `events`. */
export const fieldOf = (path: string): string => path.replace(/^(body|query|params)\./, '').replace(/(\.\d+)+$/, '')

const namesIn = (error: WritError): readonly string[] => [
  ...error.fields.map(({ path }) => fieldOf(path)),
  ...(FIELD_OF[error.code] ?? []),
]

/** Marks a field until it is changed, or until what is answered is called. */
function mark(field: HTMLInputElement | HTMLTextAreaElement, by: string): () => void {
  const described = field.getAttribute('aria-describedby')
  field.setAttribute('aria-invalid', 'true')
  field.setAttribute('aria-describedby', described === null ? by : `${described} ${by}`)
  const free = () => {
    field.removeEventListener('input', free)
    field.removeAttribute('aria-invalid')
    if (described === null) field.removeAttribute('aria-describedby')
    else field.setAttribute('aria-describedby', described)
  }
  field.addEventListener('input', free)
  return free
}
