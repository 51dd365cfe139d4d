"""The far end of a deployment: what runs on the host, as root, with nothing but the host's own python3.

The modules of this folder are sent over SSH as one text (bundle.py beside this folder) and talked to in lines of JSON
(conversation.py). They know no inventory: they tell facts, and take the steps that they are given, in their order.

Rules of this folder
  1. Standard library only, Python 3.9 or newer, and no import from elsewhere in the project.
  2. Whatever a request brings is on the host's disk, with the right digest, before the first step is taken.
  3. Files are written beside their place and renamed. A step that finds its work done changes nothing.
  4. The first step that fails is the last, and what the steps before it changed is put back: the host is as it was.
  5. From the first step on the connection is not needed any more: whoever hangs up finds the host before or after.
  6. One at a time (a lock), and only on the state that the plan was made for (`expect`, the newest generation).
"""
