/** An answer that is bytes, not JSON. The stream must be read to its end or cancelled. */
export interface Download {
  readonly stream: ReadableStream<Uint8Array>
  /** From Content-Length; null when the server streams without knowing. */
  readonly size: number | null
  readonly type: string | null
  /** From Content-Disposition: a label that somebody else chose, never a path to write to as it stands. */
  readonly name: string | null
  /** Hex SHA-256 that the server announced in Repr-Digest or as a strong ETag; null if it announced none. */
  readonly sha256: string | null
  readonly headers: Headers
}

/** The download that a response is. */
export function downloadOf(response: Response): Download {
  const { headers } = response
  const length = headers.get('content-length')
  return {
    stream: response.body ?? new Blob([]).stream(),
    // A compressed answer has another length than what the stream gives.
    size: length !== null && !headers.has('content-encoding') ? Number(length) : null,
    type: headers.get('content-type'),
    name: fileNameOf(headers.get('content-disposition')),
    sha256: digestOf(headers),
    headers,
  }
}

// RFC 6266: filename* (RFC 8187, UTF-8) wins over filename.
function fileNameOf(disposition: string | null): string | null {
  const extended = disposition?.match(/filename\*=UTF-8''([^;]+)/i)?.[1]
  if (extended) {
    try {
      return decodeURIComponent(extended)
    } catch {
      // Malformed percent-encoding: the plain name is still a name.
    }
  }
  return disposition?.match(/filename="((?:[^"\\]|\\.)*)"/i)?.[1]?.replace(/\\(.)/g, '$1') ?? null
}

// RFC 9530 Repr-Digest; the ETag of an artifact is its hash.
function digestOf(headers: Headers): string | null {
  const announced = headers.get('repr-digest')?.match(/sha-256=:([A-Za-z0-9+/=]+):/)?.[1]
  if (announced) return Array.from(atob(announced), (c) => c.charCodeAt(0).toString(16).padStart(2, '0')).join('')
  return headers.get('etag')?.match(/^"(?:sha256[:-])?([0-9a-f]{64})"$/)?.[1] ?? null
}
