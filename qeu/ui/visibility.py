"""How a part of the page that comes and goes is taken away."""

# In the page but unseen. Not False: of two quick changes of what is not in the page, Gradio 6.31
# may lose the second, and the part would not come back. Good for every component and for a group;
# a row or a column is shown by it as by True. And not for what stands within a part that is shown
# and taken away itself: Gradio hands that part's `visible` on to all that is mounted in it.
OFF = "hidden"
