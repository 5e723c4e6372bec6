//! interim
#![allow(missing_docs)]
use crate::units::*; use crate::env::*; use crate::error::RequestError; use crate::volume::Statistics;
#[derive(Debug)] pub struct Submitter<B,O>{ slots: Vec<Option<(Direction,Pbn,B,O)>>, free: Vec<u32>, queue: Vec<u32>, n: usize }
impl<B: Copy,O: Copy> Submitter<B,O> {
 pub fn new(c: usize, _: usize) -> Self { Submitter{slots: (0..c).map(|_| None).collect(), free: (0..c as u32).collect(), queue: vec![], n:0} }
 pub fn enqueue(&mut self, d: Direction, p: Pbn, b: B, o: O) { let s=self.free.pop().unwrap(); self.slots[s as usize]=Some((d,p,b,o)); self.queue.push(s); self.n+=1; }
 pub fn enqueue_direct(&mut self, d: Direction, p: Pbn, b: B, o: O) { self.enqueue(d,p,b,o) }
 pub fn issue(&mut self, mut start: impl FnMut(Run<'_, B>)) { for s in self.queue.drain(..) { let (d,p,b,_)=self.slots[s as usize].unwrap(); start(Run{direction:d,pbn:p,bufs:&[b],token:RunToken(s)}); } }
 pub fn complete(&mut self, t: RunToken, r: Result<(), RequestError>, out: &mut Vec<(O,Pbn,Direction,Result<(),RequestError>)>) { let (d,p,_,o)=self.slots[t.0 as usize].take().unwrap(); self.free.push(t.0); self.n-=1; out.push((o,p,d,r)); }
 pub fn is_empty(&self)->bool{self.n==0}
 pub fn count(&self, _: &mut Statistics) {}
}
