// The thread that judges. It sees evidence only as bytes that the host sends on request, so it needs no credentials, and
// a hostile file can take nothing but this thread's time.
import { parentPort } from 'node:worker_threads'
import { type EvidenceArtifact, judge, type Question } from './judge.ts'

export type Job = Omit<Question, 'evidence' | 'signal'> & { evidence: Omit<EvidenceArtifact, 'bytes' | 'stream'>[] }
export type ToThread = { judge: Job } | { call: number; chunk: Uint8Array | null } | { call: number; error: string }
export type FromThread =
  | { done: Awaited<ReturnType<typeof judge>> }
  | { crashed: string }
  | { open: string; call: number }
  | { next: number }

const port = parentPort!
const answers = new Map<number, (message: { chunk?: Uint8Array | null; error?: string }) => void>()
let calls = 0

const say = (message: FromThread) => port.postMessage(message)

async function* stream(id: string): AsyncIterable<Uint8Array> {
  const call = ++calls
  say({ open: id, call })
  for (;;) {
    const answer = await new Promise<{ chunk?: Uint8Array | null; error?: string }>((resolve) => {
      answers.set(call, resolve)
      say({ next: call })
    })
    answers.delete(call)
    if (answer.error !== undefined) throw new Error(answer.error)
    if (!answer.chunk) return
    yield answer.chunk
  }
}

async function bytes(id: string): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  for await (const chunk of stream(id)) chunks.push(chunk)
  return Buffer.concat(chunks)
}

port.on('message', async (message: ToThread) => {
  if ('call' in message) return answers.get(message.call)?.(message)
  const evidence = message.judge.evidence.map((file) => ({
    ...file,
    bytes: () => bytes(file.id),
    stream: () => stream(file.id),
  }))
  try {
    say({ done: await judge({ ...message.judge, evidence }) })
  } catch (error) {
    say({ crashed: error instanceof Error ? error.message : String(error) })
  }
})
