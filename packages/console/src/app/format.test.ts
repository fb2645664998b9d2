import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bytes, duration, exactTime, listed, middle, relativeTime, roughUsd, span, usd } from './format.ts'

const noon = Date.UTC(2026, 10, 26, 12)

test('times are told from now in the largest unit that fits', () => {
  assert.equal(relativeTime(noon - 30_000, noon, 'en'), 'now')
  assert.equal(relativeTime(noon - 200_000, noon, 'en'), '3 minutes ago')
  assert.equal(relativeTime(noon + 2 * 86_400_000, noon, 'en'), 'in 2 days')
  assert.equal(relativeTime(noon - 3_600_000, noon, 'zh-CN'), '1 小时前')
})

test('what comes within a minute has not come, and Chinese tells the last minute from this moment', () => {
  assert.equal(relativeTime(noon + 40_000, noon, 'en'), 'within a minute')
  assert.equal(relativeTime(noon + 40_000, noon, 'zh-CN'), '一分钟内')
  assert.equal(relativeTime(noon - 40_000, noon, 'zh-CN'), '刚刚')
  assert.equal(relativeTime(noon, noon, 'en'), 'now')
})

test('what ends in a week or in three months is told so, also a minute after it was made', () => {
  assert.equal(relativeTime(noon + 7 * 86_400_000 - 60_000, noon, 'en'), 'in 7 days')
  assert.equal(relativeTime(noon + 90 * 86_400_000 - 60_000, noon, 'zh-CN'), '3 个月后')
  assert.equal(relativeTime(noon + 46 * 3_600_000, noon, 'en'), 'tomorrow')
})

test('names are separated as the language does', () => {
  assert.equal(listed(['admin', 'sun'], 'en'), 'admin, sun')
  assert.equal(listed(['admin', 'sun'], 'zh-CN'), 'admin、sun')
})

test('the exact time names its zone', () => {
  assert.equal(exactTime(noon, 'en-GB', 'Asia/Shanghai'), '26 Nov 2026, 20:00:00 GMT+8')
})

test('lengths of time have two units at most', () => {
  assert.deepEqual(
    [12, 999.4, 1_000, 125_000, 3_725_000, 90_000_000, 900_000, 3_600_000].map((ms) => duration(ms, 'en')),
    ['12 ms', '999 ms', '1 s', '2 min 5 s', '1 h 2 min', '1 d 1 h', '15 min', '1 h'],
  )
  assert.deepEqual(
    [12, 10_000, 125_000, 3_725_000, 90_000_000].map((ms) => duration(ms, 'zh-CN')),
    ['12 毫秒', '10 秒', '2 分钟 5 秒', '1 小时 2 分钟', '1 天 1 小时'],
  )
})

test('sizes have decimal units, and never read 1000 of one', () => {
  assert.deepEqual([0, 999, 1_500, 23_400, 999_960, 5_000_000_000].map(bytes), [
    '0 B',
    '999 B',
    '1.5 kB',
    '23 kB',
    '1.0 MB',
    '5.0 GB',
  ])
})

test('long names keep both ends', () => {
  assert.equal(middle('0123456789abcdef'), '012345…abcdef')
  assert.equal(middle('0123456789abc'), '0123456789abc')
})

test('an interval is told in the largest unit that it is a multiple of', () => {
  assert.deepEqual(
    [45, 5_400, 3_600, 172_800].map((seconds) => span(seconds, 'en')),
    ['45 seconds', '90 minutes', '1 hour', '2 days'],
  )
  assert.deepEqual(
    [45, 60, 7_200, 86_400].map((seconds) => span(seconds, 'zh-CN')),
    ['45 秒钟', '1 分钟', '2 小时', '1 天'],
  )
})

test('an amount of money is told to its last digit', () => {
  assert.deepEqual(
    [0, 0.5, 1_234.5, 0.000_000_15].map((value) => usd(value, 'en')),
    ['$0.00', '$0.50', '$1,234.50', '$0.00000015'],
  )
  assert.equal(usd(0.5, 'zh-CN'), 'US$0.50')
  assert.deepEqual(
    [0, 0.001_234_5, 0.5, 1_234.567_8].map((value) => roughUsd(value, 'en')),
    ['$0.00', '$0.00123', '$0.50', '$1,234.57'],
  )
})
