/** What the documents cite of the console stands on its pages: *in italics* in English, “in quotation marks” in Chinese. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { en } from './en.ts'
import { enMore } from './en-more.ts'
import { zhCn } from './zh-cn.ts'
import { zhCnMore } from './zh-cn-more.ts'

const root = path.join(import.meta.dirname, '../../../..')

const textsOf = (words: object): string[] =>
  Object.values(words).flatMap((one) => (typeof one === 'string' ? [one] : textsOf(one as object)))

const escaped = (text: string) => text.replace(/[.*+?^$()|[\]\\{}]/g, '\\$&')

/** Whether it is one of these texts, with anything for what a text leaves open; of one that is nothing else, nothing. */
function isAmong(texts: readonly string[], cited: string): boolean {
  return texts.some((text) => {
    const literal = text.split(/\{\{\w+\}\}/)
    if (literal.join('').trim().length < 2) return false
    return new RegExp(`^${literal.map(escaped).join('.+')}$`, 'i').test(cited)
  })
}

const listed = (text: string) => text.split(/ › |、|, /)

for (const { language, words, files, mark, others } of [
  {
    language: 'English',
    words: [en, enMore],
    files: ['README.md', 'docs/console.md', 'docs/checks.md'],
    mark: /(?<![*\w])\*([^*`\n]+)\*(?!\*)/g,
    others: [] as string[],
  },
  {
    language: 'Chinese',
    words: [zhCn, zhCnMore],
    files: ['README.zh-CN.md', 'docs/zh-CN/console.md', 'docs/zh-CN/checks.md'],
    mark: /“([^”\n]+)”/g,
    // What is now, by which clock.
    others: ['现在'],
  },
])
  test(`${language} documents cite the console by words that it has`, () => {
    const texts = words.flatMap(textsOf)
    const cited = files.flatMap((file) => {
      const text = readFileSync(path.join(root, file), 'utf8').replace(/```[\s\S]*?```/g, '')
      return [...text.matchAll(mark)].flatMap(([, all]) => listed(all!).map((one) => [file, one] as const))
    })
    assert.ok(cited.length > 10)
    assert.deepEqual(
      cited.filter(([, one]) => !others.includes(one) && !isAmong(texts, one)),
      [],
    )
  })
