import assert from 'node:assert/strict'
import { test } from 'node:test'
import { plainText } from './plain-text.ts'

test('what reorders letters is written out, and other languages stay as they are', () => {
  assert.equal(plainText('open port 22\u202e\u2066 // 32'), 'open port 22[U+202E][U+2066] // 32')
  assert.equal(plainText('שלום 交换机 😀\r\n\tx'), 'שלום 交换机 😀\r\n\tx')
  assert.equal(
    plainText('a\u200b\ufeff\u{e0041}b 👩\u200d👧 ❤\ufe0f'),
    'a[U+200B][U+FEFF][U+E0041]b 👩\u200d👧 ❤\ufe0f',
  )
  assert.equal(plainText('shown\rhidden'), 'shown[U+000D]hidden')
})
