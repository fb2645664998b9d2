/**
 * Entries of a round that are worked on in one turn of the event loop: less than a millisecond. A change waits for the database
 * several times, and a round fits into those pauses; in slices of 256 it came out of them late.
 */
const SLICE = 64

/** Whether a round that is done with so many entries lets everybody else go first now. */
export const endsSlice = (entries: number): boolean => entries % SLICE === 0
