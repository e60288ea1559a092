//! Who of several may make the next request to a store: a schedule that tests lay down.

use crate::storage::memory::{Fault, MemoryStorage};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};

/// Several actors on one storage, each waiting for its turn before every request.
pub(super) struct Turns {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    schedule: VecDeque<usize>,
    done: Vec<bool>,
    /// Who is making a request.
    busy: Option<usize>,
    /// How many requests each made.
    made: Vec<usize>,
    /// What happens to the requests, in their order; nothing once this is empty.
    faults: VecDeque<Fault>,
}

impl State {
    /// Whose turn it is: as the schedule says, then one after the other.
    fn next(&mut self) -> Option<usize> {
        while self.schedule.front().is_some_and(|actor| self.done[*actor]) {
            self.schedule.pop_front();
        }
        self.schedule.front().copied().or_else(|| self.done.iter().position(|done| !done))
    }
}

impl Turns {
    /// Runs all `actors` to their ends, in turns, and returns what each made of it and how many
    /// requests it took.
    pub(super) fn run<T: Send + 'static>(
        storage: &MemoryStorage,
        schedule: &[usize],
        faults: &[Fault],
        actors: Vec<Box<dyn FnOnce(MemoryStorage) -> T + Send>>,
    ) -> Vec<(T, usize)> {
        let count = actors.len();
        let turns = Arc::new(Self {
            state: Mutex::new(State {
                schedule: schedule.iter().copied().collect(),
                done: vec![false; count],
                busy: None,
                made: vec![0; count],
                faults: faults.iter().copied().collect(),
            }),
            changed: Condvar::new(),
        });
        let threads: Vec<_> = actors
            .into_iter()
            .enumerate()
            .map(|(actor, act)| {
                let (turns, hooked) = (turns.clone(), turns.clone());
                let storage = storage.hooked(move |_| hooked.step(actor));
                std::thread::spawn(move || {
                    let end = End { turns: turns.clone(), actor };
                    let result = act(storage);
                    drop(end);
                    result
                })
            })
            .collect();
        let results: Vec<T> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        let made = turns.state.lock().unwrap().made.clone();
        results.into_iter().zip(made).collect()
    }

    fn step(&self, actor: usize) -> Fault {
        let mut state = self.state.lock().unwrap();
        if state.busy == Some(actor) {
            // The request before this one is over.
            state.busy = None;
            self.changed.notify_all();
        }
        loop {
            if state.busy.is_none() && state.next() == Some(actor) {
                state.schedule.pop_front();
                state.busy = Some(actor);
                state.made[actor] += 1;
                return state.faults.pop_front().unwrap_or(Fault::None);
            }
            state = self.changed.wait(state).unwrap();
        }
    }
}

/// Marks an actor as done, also when it panics.
struct End {
    turns: Arc<Turns>,
    actor: usize,
}

impl Drop for End {
    fn drop(&mut self) {
        let mut state = self.turns.state.lock().unwrap();
        state.done[self.actor] = true;
        if state.busy == Some(self.actor) {
            state.busy = None;
        }
        self.turns.changed.notify_all();
    }
}

/// Every schedule in which each of two actors is interrupted once: one makes some requests, then
/// the other some, then the first goes on to its end.
pub(super) fn interruptions(requests: [usize; 2]) -> Vec<Vec<usize>> {
    let mut schedules = Vec::new();
    for (first, second) in [(0, 1), (1, 0)] {
        for before in 0..=requests[first] {
            for between in 0..=requests[second] {
                let mut schedule = vec![first; before];
                schedule.extend(vec![second; between]);
                // Many enough for it to come to its end.
                schedule.extend(vec![first; 1000]);
                schedules.push(schedule);
            }
        }
    }
    schedules
}
