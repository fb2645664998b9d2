import type { Multipart, MultipartFile } from '@fastify/multipart'
import type { FastifyRequest } from 'fastify'
import { AppError } from '../app-error.ts'
import { isCutOff } from './problem.ts'

export interface ReceivedFile {
  readonly filename: string
  readonly mimetype: string
  /** To be read to the end: only then is it known that nothing else came with it. */
  readonly bytes: AsyncIterable<Uint8Array>
  /** True if its bytes ended before they should have. */
  cutShort(): boolean
}

// Parameters stand in the query, so fields are few, small, and not looked at.
const LIMITS = { files: 1, fields: 20, fieldSize: 20_000, fileSize: Number.POSITIVE_INFINITY }

/**
 * The one file of an upload. A second one is refused rather than dropped: whoever sent it would believe that it is evidence. Throws
 * AppError, here or while it is read.
 */
export async function receiveFile(request: FastifyRequest): Promise<ReceivedFile> {
  const parts = refusing(request, request.parts({ limits: LIMITS }))
  const part = await firstFile(parts)
  if (part?.fieldname !== 'file') throw new AppError('FILE_MISSING')
  return {
    filename: part.filename,
    mimetype: part.mimetype,
    cutShort: () => part.file.truncated || isCutOff(request),
    bytes: (async function* () {
      yield* refusing<Uint8Array>(request, part.file)
      await firstFile(parts)
    })(),
  }
}

async function firstFile(parts: AsyncIterator<Multipart>): Promise<MultipartFile | undefined> {
  for (let next = await parts.next(); !next.done; next = await parts.next())
    if (next.value.type === 'file') return next.value
  return undefined
}

/** What the parser complains of is a fault of the body, unless the client went away within it. */
async function* refusing<T>(request: FastifyRequest, from: AsyncIterable<T>): AsyncGenerator<T, void> {
  try {
    yield* from
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (error instanceof AppError || isCutOff(request)) throw error
    if (code === 'FST_FILES_LIMIT') throw new AppError('FILES_TOO_MANY', {}, { cause: error })
    if (code === 'FST_INVALID_MULTIPART_CONTENT_TYPE') throw new AppError('FILE_MISSING', {}, { cause: error })
    throw new AppError('MULTIPART_INVALID', {}, { cause: error })
  }
}
