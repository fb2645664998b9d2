/** Where a text stops being JSON, and what would have to stand there: nothing of the text itself, which may be secret. */
export interface JsonFault {
  /** In code points, from 0. */
  readonly at: number
  readonly line: number
  readonly column: number
  readonly expected: string
}

const SPACE = /[ \t\n\r]*/y
const SCALAR = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.+-])|(?:true|false|null)(?!\w)/y
/** What comes next in a string: its end, what may not be in it, or an escape. Step by step, so that no length of it needs a stack. */
const IN_STRING = /"|[\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})?/g

type Next = 'value' | 'value or ]' | 'name' | 'name or }' | ':' | 'end'

const VALUE = 'a value'
const NAME = 'a name in double quotes'

/** Undefined for what is JSON. What JSON.parse says quotes the text and often names no place. */
export function jsonFault(json: string): JsonFault | undefined {
  const open: ('{' | '[')[] = []
  let at = 0
  let next = 'value' as Next
  for (;;) {
    SPACE.lastIndex = at
    SPACE.test(json)
    at = SPACE.lastIndex
    const sign = json[at]
    const inside = open.at(-1)
    if (next === 'end') {
      if (inside === undefined) return sign === undefined ? undefined : fault(json, at, 'nothing more')
      const close = inside === '{' ? '}' : ']'
      if (sign === ',') next = inside === '{' ? 'name' : 'value'
      else if (sign === close) open.pop()
      else return fault(json, at, `a comma or ${close}`)
      at++
    } else if (next === ':') {
      if (sign !== ':') return fault(json, at, 'a colon')
      next = 'value'
      at++
    } else if ((next === 'name or }' && sign === '}') || (next === 'value or ]' && sign === ']')) {
      open.pop()
      next = 'end'
      at++
    } else if (sign === '"') {
      const end = stringEnd(json, at)
      if (typeof end !== 'number') return end
      at = end
      next = next === 'name' || next === 'name or }' ? ':' : 'end'
    } else if (next === 'name' || next === 'name or }') {
      return fault(json, at, next === 'name' ? NAME : `${NAME} or }`)
    } else if (sign === '{' || sign === '[') {
      open.push(sign)
      next = sign === '{' ? 'name or }' : 'value or ]'
      at++
    } else {
      SCALAR.lastIndex = at
      if (!SCALAR.test(json)) return fault(json, at, next === 'value' ? VALUE : `${VALUE} or ]`)
      at = SCALAR.lastIndex
      next = 'end'
    }
  }
}

/** Behind the string that begins at `start`, or what is wrong in it. */
function stringEnd(json: string, start: number): number | JsonFault {
  IN_STRING.lastIndex = start + 1
  for (let found = IN_STRING.exec(json); found; found = IN_STRING.exec(json)) {
    if (found[0] === '"') return found.index + 1
    if (found[0] === '\\') return fault(json, found.index, 'an escape that JSON knows')
    if (found[0].length === 1) return fault(json, found.index, 'an escape in place of a control character')
  }
  return fault(json, json.length, 'the double quote that ends a string')
}

function fault(json: string, at: number, expected: string): JsonFault {
  const before = json.slice(0, at)
  const lineStart = before.lastIndexOf('\n') + 1
  return {
    at: [...before].length,
    line: before.split('\n').length,
    column: [...before.slice(lineStart)].length + 1,
    expected,
  }
}
