// How long is waited for a store to which packets are lost, by each of the three attempts that its SDK makes.

/** A connection comes about, or it does not. Limits of single requests (`requestTimeout`) are errors and no warnings. */
export const S3_HANDLER = { connectionTimeout: 5_000, throwOnRequestTimeout: true } as const

/**
 * How long a question may wait for the beginning of its answer, so that whoever asked hears in a quarter of a minute that the store is
 * away. What moves bytes has no limit but that of a silent socket: the system takes megabytes of an upload at once, which go on over a
 * slow line unseen, a store copies some gigabytes before it answers, and a reader who is slow stops the source as well.
 */
export const S3_ANSWER_MS = 5_000
