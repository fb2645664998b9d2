import assert from 'node:assert/strict'
import { test } from 'node:test'
import { clockChangeAt, instantOf, localOf } from './local-time.ts'

/** Runs `work` in a time zone; Node reads the variable whenever it is set. */
function inZone(zone: string, work: () => void): void {
  const before = process.env.TZ
  process.env.TZ = zone
  try {
    work()
  } finally {
    if (before === undefined) delete process.env.TZ
    else process.env.TZ = before
  }
}

const at = (text: string) => Date.parse(text)

test('a time that clocks skip says as which it is taken', () =>
  inZone('Europe/Berlin', () => {
    assert.deepEqual(clockChangeAt('2027-03-28T02:30'), { what: 'skipped', taken: at('2027-03-28T01:30:00Z') })
    assert.equal(clockChangeAt('2027-03-28T01:59'), null)
    assert.equal(clockChangeAt('2027-03-28T03:00'), null)
  }))

test('a time that comes twice says which of the two is taken', () =>
  inZone('Europe/Berlin', () => {
    const [first, second] = [at('2026-10-25T00:30:00Z'), at('2026-10-25T01:30:00Z')]
    assert.deepEqual(clockChangeAt('2026-10-25T02:30'), { what: 'twice', taken: first, other: second })
    assert.equal(clockChangeAt('2026-10-25T01:59'), null)
    assert.equal(clockChangeAt('2026-10-25T03:00'), null)
  }))

test('clocks may be set by half an hour, and elsewhere never are', () => {
  inZone('Australia/Lord_Howe', () => {
    const [first, second] = [at('2027-04-03T14:45:00Z'), at('2027-04-03T15:15:00Z')]
    assert.deepEqual(clockChangeAt('2027-04-04T01:45'), { what: 'twice', taken: first, other: second })
  })
  inZone('Asia/Shanghai', () => assert.equal(clockChangeAt('2027-03-28T02:30'), null))
})

test('a field holds an instant to the minute, and what is no time is none', () =>
  inZone('Asia/Shanghai', () => {
    assert.equal(localOf(at('2026-11-26T01:30:59Z')), '2026-11-26T09:30')
    assert.equal(instantOf('2026-11-26T09:30'), '2026-11-26T01:30:00.000Z')
    assert.equal(instantOf(''), undefined)
    assert.equal(clockChangeAt('soon'), null)
  }))
