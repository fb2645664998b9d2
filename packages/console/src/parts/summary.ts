/** What the server says in one sentence of a proof that was judged: a text of documented form, which is English. */
const JUDGED = /^Validation (passed|failed): (\d+) artifact\(s\) checked$/

/** What such a sentence says, or nothing of any other text. */
export function readSummary(text: string): { verdict: 'passed' | 'failed'; count: number } | null {
  const [, verdict, count] = JUDGED.exec(text) ?? []
  return verdict === undefined ? null : { verdict: verdict as 'passed' | 'failed', count: Number(count) }
}
