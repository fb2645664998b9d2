/** A file that rules are tried on: held in the page, and sent whole with each trial. */
export interface TrialFile {
  readonly name: string
  readonly size: number
  readonly content: string
  readonly role: 'before' | 'after' | null
}

/** A request holds at most this much; what is not file is the text of the rules and the names. */
const REQUEST_BYTES = 1_048_576
const MOST_FILES = 50

/** Reads files that somebody chose. Throws what the browser says when one cannot be read, such as a folder. */
export const readTrialFiles = (files: readonly File[]): Promise<TrialFile[]> =>
  Promise.all(
    files.map(async (file) => ({
      name: file.name,
      size: file.size,
      // More than a request takes is not even read.
      content: file.size > REQUEST_BYTES ? '' : base64Of(new Uint8Array(await file.arrayBuffer())),
      role: null,
    })),
  )

function base64Of(bytes: Uint8Array): string {
  let text = ''
  for (let at = 0; at < bytes.length; at += 8_190) text += String.fromCharCode(...bytes.subarray(at, at + 8_190))
  return btoa(text)
}

/** Files with those that came: one of a name that is there already takes its place, and its part. */
export function withFiles(there: readonly TrialFile[], come: readonly TrialFile[]): TrialFile[] {
  const names = new Set(come.map(({ name }) => name))
  const kept = there.map((old) => {
    const anew = come.findLast(({ name }) => name === old.name)
    return anew ? { ...anew, role: old.role } : old
  })
  const old = new Set(there.map(({ name }) => name))
  return [
    ...kept,
    ...[...names].filter((name) => !old.has(name)).map((name) => come.findLast((one) => one.name === name)!),
  ]
}

/** Why the server would not even read them: it says so of the whole request, which tells nobody which file it was. */
export function tooMuch(files: readonly TrialFile[], text: string): 'bytes' | 'count' | null {
  if (files.length > MOST_FILES) return 'count'
  // Three bytes are four letters; each file has its name, its part and marks around it.
  const bytes = files.reduce((sum, { size, name }) => sum + Math.ceil(size / 3) * 4 + name.length * 3 + 64, 0)
  return bytes + new TextEncoder().encode(text).length > REQUEST_BYTES ? 'bytes' : null
}
