// A lock on whose holder other threads can wait.

import Glibc

/// A mutual-exclusion lock with one condition. Not recursive.
public final class ConditionLock: @unchecked Sendable {
    // SAFETY: both objects live on the heap, so their addresses never change; initialised in init and destroyed in deinit,
    // when no other thread can hold a reference.
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    public init() {
        mutex.initialize(to: pthread_mutex_t())
        condition.initialize(to: pthread_cond_t())
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    /// Runs `body` with the lock held.
    public func withLock<Result>(_ body: () throws -> Result) rethrows -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body()
    }

    /// With the lock held: releases it, waits for `broadcast`, takes it again. Wakes may be spurious.
    public func wait() { pthread_cond_wait(condition, mutex) }

    /// Wakes every waiter.
    public func broadcast() { pthread_cond_broadcast(condition) }
}
