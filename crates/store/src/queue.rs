//! The bounded queue in front of the sequencer.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Drafts that wait. Any thread pushes, one thread takes.
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
    capacity: usize,
}

struct State<T> {
    items: VecDeque<T>,
    closed: bool,
}

/// An item that was not taken in, given back.
pub(crate) enum Refused<T> {
    Full(T),
    Closed(T),
}

impl<T> Queue<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        let state = State { items: VecDeque::new(), closed: false };
        Self { state: Mutex::new(state), filled: Condvar::new(), capacity }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(crate) fn push(&self, item: T) -> Result<(), Refused<T>> {
        self.push_within(item, self.capacity)
    }

    /// Takes an item in however many wait, because room for it was promised before.
    pub(crate) fn push_promised(&self, item: T) -> Result<(), Refused<T>> {
        self.push_within(item, usize::MAX)
    }

    fn push_within(&self, item: T, capacity: usize) -> Result<(), Refused<T>> {
        let mut state = self.lock();
        if state.closed {
            return Err(Refused::Closed(item));
        }
        if state.items.len() >= capacity {
            return Err(Refused::Full(item));
        }
        state.items.push_back(item);
        self.filled.notify_one();
        Ok(())
    }

    /// Waits until something is queued and says how much; `None` once closed and empty.
    pub(crate) fn wait(&self) -> Option<usize> {
        let state = self
            .filled
            .wait_while(self.lock(), |state| state.items.is_empty() && !state.closed)
            .unwrap_or_else(PoisonError::into_inner);
        (!state.items.is_empty()).then_some(state.items.len())
    }

    pub(crate) fn pop(&self) -> Option<T> {
        self.lock().items.pop_front()
    }

    /// Takes nothing in any more; what is queued can still be taken out.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // nothing here can panic halfway through a change
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_its_capacity_and_not_one_more() {
        let queue = Queue::new(2);
        assert!(queue.push(1).is_ok());
        assert!(queue.push(2).is_ok());
        assert!(matches!(queue.push(3), Err(Refused::Full(3))));
        assert!(queue.push_promised(3).is_ok());
        assert_eq!(queue.pop(), Some(1));
        assert!(matches!(queue.push(3), Err(Refused::Full(3))));
        assert_eq!(queue.wait(), Some(2));
        assert_eq!(queue.pop(), Some(2));
        assert!(queue.push(4).is_ok());
    }

    #[test]
    fn what_was_queued_before_the_close_comes_out() {
        let queue = Queue::new(2);
        assert!(queue.push(1).is_ok());
        queue.close();
        assert!(matches!(queue.push(2), Err(Refused::Closed(2))));
        assert_eq!(queue.wait(), Some(1));
        assert_eq!(queue.pop(), Some(1));
        assert_eq!(queue.wait(), None);
    }
}
