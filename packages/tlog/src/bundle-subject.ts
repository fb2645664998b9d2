import { type BundleCheck, type BundleDescription, type BundledEntry, BundleError, counted } from './bundle.ts'

/**
 * What bundle.json says that the bundle is about is what its entries tell of: the thing, of which type it is, and the numbers of it and
 * of its files. An entry names things by ids; numbers stand in the payloads of some events. Those of earlier versions, or that
 * were erased, do not say them. What nobody but the maker of the bundle says is noted.
 */
export function checkSubject(
  entries: readonly BundledEntry[],
  { subject, artifacts }: Pick<BundleDescription, 'subject' | 'artifacts'>,
): BundleCheck[] {
  const ofProject = entries.filter(({ log }) => log.role === 'project')
  const isDropped = ofProject.some(({ entry }) => entry.act === 'log.dropped')
  const about = ofProject.filter(({ entry }) => entry.res === subject.id || entry.run === subject.id)
  if (!isDropped && about.length === 0)
    throw new BundleError('BUNDLE_MALFORMED', 'bundle.json', 'subject_untold', { id: subject.id })
  for (const { entry } of about) {
    const type = typeOf(entry.act)
    if (entry.res === subject.id && type !== null && type !== subject.type)
      throw new BundleError('BUNDLE_MALFORMED', 'bundle.json', 'subject_type', { id: subject.id, type })
  }
  const unsaid = [subject, ...artifacts].filter((thing) => !isNumberSaid(ofProject, thing)).length
  if (unsaid === 0) return []
  return [
    {
      state: 'note',
      what: `${counted(unsaid, 'number')} of the subject and its files: no entry says it, only whoever signed the manifest`,
      code: 'numbers_unproven',
      values: { count: unsaid },
    },
  ]
}

/** The type of what an event of this name is about; null where the name leaves it open. */
const typeOf = (act: string): string | null =>
  act.startsWith('ticket.') ? 'ticket' : act.startsWith('run.') || act.startsWith('task.') ? 'run' : null

/** Whether an entry about a thing says the number that the description gives it. */
function isNumberSaid(entries: readonly BundledEntry[], thing: { id: string; number: number }): boolean {
  let isSaid = false
  for (const { entry, event } of entries) {
    if (entry.res !== thing.id || !NUMBERED.test(entry.act)) continue
    const { number } = Object(event?.details) as { number?: unknown }
    if (number === undefined) continue
    if (number !== thing.number) {
      const values = { id: thing.id, said: String(number), number: thing.number }
      throw new BundleError('BUNDLE_MALFORMED', 'bundle.json', 'number_other', values)
    }
    isSaid = true
  }
  return isSaid
}

/** Events whose `number` is that of what they are about. */
const NUMBERED =
  /^(evidence\.exported|artifact\.uploaded|run\.created|ticket\.(submitted|approved|rejected|closed|reopened))$/
