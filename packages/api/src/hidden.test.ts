import assert from 'node:assert/strict'
import { test } from 'node:test'
import { withHiddenShown } from './hidden.ts'
import { lineThatSays } from './shapes.ts'

const isLine = (text: string) => new RegExp(lineThatSays, 'u').test(text)

for (const [what, hidden] of [
  ['an override', '\u202e'],
  ['an embedding', '\u202b'],
  ['an isolate', '\u2066'],
  ['a space of no width', '\u200b'],
  ['a byte order mark', '\ufeff'],
  ['a word joiner', '\u2060'],
  ['a soft hyphen', '\u00ad'],
  ['a tag', '\u{e0041}'],
] as const)
  test(`${what} is shown, and no name has it, wherever it stands`, () => {
    assert.match(withHiddenShown(`open port ${hidden}22`), /^open port \[U\+[0-9A-F]{4,5}\]22$/)
    for (const name of [`a${hidden}b`, `${hidden}a`, `a${hidden}`, hidden]) assert.equal(isLine(name), false)
  })

for (const text of [
  '更换核心交换机（二期）',
  'שינוי הגדרות מתג 12',
  'تغيير إعدادات المحوّل ١٢',
  'نمی‌خواهم',
  '👩‍👩‍👧 ❤️ 👍🏽 🇨🇳',
  'क्‍ष',
  'Ω≈ç√ café\u0301',
])
  test(`${text} stays as it is, and is a name`, () => {
    assert.equal(withHiddenShown(text), text)
    assert.equal(isLine(text), true)
  })

test('the tags of a flag say whose it is', () => {
  const flag = '\u{1f3f4}\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}'
  assert.equal(withHiddenShown(flag), flag)
})

test('marks of direction are taken, and shown', () => {
  assert.equal(isLine('מתג (12)\u200f'), true)
  assert.equal(withHiddenShown('מתג (12)\u200f'), 'מתג (12)[U+200F]')
})
