// What a run announced (`expect`), held against the files that it has.
import type { ExpectedFile } from '@writ/api'

interface File {
  readonly filename: string
  readonly role: 'before' | 'after' | null
  readonly sha256?: string
}

/** What a run announced; nothing, if it announced none. */
export const announcedBy = ({ expect }: { readonly expect: string | null }): ExpectedFile[] =>
  // Written by `startRun` and `verifyAgain` alone.
  expect === null ? [] : (JSON.parse(expect) as ExpectedFile[])

/** A file of one name may be announced twice: as it was before and as it is after. Names that look the same are the same, however a system composes them. */
const fits = (one: ExpectedFile, { filename, role }: File): boolean =>
  one.name.normalize() === filename.normalize() && (one.role === undefined || role === null || one.role === role)

/** Which of the announced files one is: that of its bytes or of its role, or else the first of its name; undefined if it is none. */
export function expectedAs(announced: readonly ExpectedFile[], file: File): ExpectedFile | undefined {
  const fitting = announced.filter((one) => fits(one, file))
  return (
    fitting.find(({ sha256 }) => sha256 !== undefined && sha256 === file.sha256) ??
    fitting.find(({ role }) => role !== undefined && role === file.role) ??
    fitting[0]
  )
}

/** What is not there yet: each file stands for one that was announced. */
export function missingOf(announced: readonly ExpectedFile[], files: readonly File[]): ExpectedFile[] {
  const left = [...announced]
  for (const file of files) {
    const one = expectedAs(left, file)
    if (one) left.splice(left.indexOf(one), 1)
  }
  return left
}

/** As people are told of them. */
export const namesOf = (files: readonly ExpectedFile[]): string =>
  files.map(({ name, role }) => (role === undefined ? name : `${name} (${role})`)).join(', ')
