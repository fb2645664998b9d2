import assert from 'node:assert/strict'
import { test } from 'node:test'
import { paintedOf, unpainted } from './ansi.ts'

const ESC = '\u001b'

test('colours and weights begin and end where the terminal would', () => {
  assert.deepEqual(paintedOf(`a ${ESC}[31mred${ESC}[0m ${ESC}[1;32mgood${ESC}[39m bold${ESC}[22m plain`), [
    { text: 'a ', look: '' },
    { text: 'red', look: 'ansi-1' },
    { text: ' ', look: '' },
    { text: 'good', look: 'ansi-2 ansi-bold' },
    { text: ' bold', look: 'ansi-bold' },
    { text: ' plain', look: '' },
  ])
})

test('what is no paint is left out, and numbers of other palettes are no codes', () => {
  assert.deepEqual(paintedOf(`${ESC}[2K${ESC}[38;5;31mx${ESC}[m${ESC}[38;2;1;31;33my`), [
    { text: 'x', look: '' },
    { text: 'y', look: '' },
  ])
  assert.equal(unpainted(`${ESC}[?25l${ESC}[91mdone${ESC}[0m`), 'done')
  assert.deepEqual(paintedOf(''), [{ text: '', look: '' }])
})
