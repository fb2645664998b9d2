import { execFileSync } from 'node:child_process'
import { createReadStream } from 'node:fs'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Figure, median, round } from '../figure.ts'
import { startWrit, type WritProcess } from '../writ-process.ts'

const GIB = 1024 ** 3
const RUNS = 3

/** Uploading 1 GiB against `sha256sum` plus `cp` plus `sync` of the copy; and the memory that 2 GiB cost. */
export async function uploads(): Promise<Figure[]> {
  const folder = await mkdtemp(join(tmpdir(), 'writ-bench-upload-'))
  const writ = await startWrit()
  try {
    const one = await fill(join(folder, 'one'), GIB)
    const two = await fill(join(folder, 'two'), 2 * GIB)
    const ours: number[] = []
    const peer: number[] = []
    const idle = writ.memory().now
    for (let run = 0; run < RUNS; run++) {
      peer.push(
        seconds(() =>
          execFileSync('sh', [
            '-c',
            'sha256sum "$1" >/dev/null && cp "$1" "$1.copy" && sync "$1.copy" && rm "$1.copy"',
            'sh',
            one,
          ]),
        ),
      )
      // Other bytes each time: what the store has already it would read and compare, which is another figure.
      await mark(one, run)
      const before = performance.now()
      await upload(writ, one)
      ours.push((performance.now() - before) / 1000)
    }
    // What is kept in memory must not depend on the size: twice as much may not need more.
    const forOne = writ.memory().peak - idle
    await upload(writ, two)
    const forTwo = writ.memory().peak - idle
    const rate = (values: readonly number[]) => GIB / median(values) / 1e6
    return [
      {
        suite: 'uploads',
        figure: 'upload of 1 GiB',
        mode: 'local',
        ours: round(rate(ours)),
        peer: 'sha256sum + cp + sync',
        peer_value: round(rate(peer)),
        ratio: round(rate(ours) / rate(peer)),
        unit: 'MB/s',
        runs: RUNS,
        goal: { at_least: 0.8 },
      },
      {
        suite: 'uploads',
        figure: 'memory grown by an upload of 2 GiB',
        mode: 'local',
        ours: round(forTwo / 1e6),
        peer: 'by uploads of 1 GiB',
        peer_value: round(forOne / 1e6),
        ratio: round(forTwo / forOne),
        unit: 'MB',
        runs: 1,
        goal: { at_most: 1.1 },
      },
    ]
  } finally {
    await writ.stop()
    await rm(folder, { recursive: true, force: true })
  }
}

function seconds(work: () => void): number {
  const before = performance.now()
  work()
  return (performance.now() - before) / 1000
}

async function fill(path: string, size: number): Promise<string> {
  const file = await open(path, 'w')
  const chunk = Buffer.alloc(8 * 1024 * 1024)
  for (let at = 0; at < size; at += chunk.length) {
    // Each block differs, so nothing on the way can save work.
    chunk.writeUInt32BE(at / chunk.length, 0)
    await file.write(chunk)
  }
  await file.close()
  return path
}

async function mark(path: string, run: number): Promise<void> {
  const file = await open(path, 'r+')
  await file.write(Buffer.from(`run ${run}`), 0, 5, 64)
  await file.close()
}

async function upload(writ: WritProcess, path: string): Promise<void> {
  const headers = { authorization: `Bearer ${await writ.token()}`, 'content-type': 'application/json' }
  const post = async (url: string, body: object) =>
    (await (
      await fetch(`${writ.url}/api/v1${url}`, { method: 'POST', headers, body: JSON.stringify(body) })
    ).json()) as { id: string }
  const ticket = await post('/tickets', { title: 'bench' })
  const run = await post('/runs', { run_type: 'proof', ticket_id: ticket.id, finalize: 'manual' })
  const boundary = 'writ-bench-boundary'
  const status = await new Promise<number>((resolve, reject) => {
    const sent = request(
      `${writ.url}/api/v1/artifacts?run_id=${run.id}`,
      {
        method: 'POST',
        headers: { authorization: headers.authorization, 'content-type': `multipart/form-data; boundary=${boundary}` },
      },
      (answer) => {
        answer.resume()
        resolve(answer.statusCode ?? 0)
      },
    )
    sent.on('error', reject)
    sent.write(
      `--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="f.bin"\r\nContent-Type: application/octet-stream\r\n\r\n`,
    )
    const bytes = createReadStream(path, { highWaterMark: 1024 * 1024 })
    bytes.on('error', reject)
    bytes.on('end', () => sent.end(`\r\n--${boundary}--\r\n`))
    bytes.pipe(sent, { end: false })
  })
  if (status !== 200) throw new Error(`the upload was answered ${status}`)
}
