/**
 * Which drawn row shows which row of a list, while it is scrolled: `before` and the answer say by index of the list what is drawn in
 * what slot. A row that stays in view stays in its slot and is not touched; one that comes takes the slot of one that went, of which only texts
 * change, which costs less than to make its elements anew. Where that would move more drawn rows in the document than
 * come, which is so a little way up, they are made anew after all.
 */
export function slotsOf(before: ReadonlyMap<number, number>, first: number, last: number): ReadonlyMap<number, number> {
  const after = new Map<number, number>()
  const free: number[] = []
  let next = 0
  for (const [index, slot] of before) {
    if (index < first || index > last) free.push(slot)
    next = Math.max(next, slot + 1)
  }
  const stay = before.size - free.length
  const goesUp = stay > 0 && !before.has(first)
  const reused = goesUp && stay > last - first + 1 - stay ? [] : free
  for (let index = first; index <= last; index++) after.set(index, before.get(index) ?? reused.shift() ?? next++)
  return after
}
