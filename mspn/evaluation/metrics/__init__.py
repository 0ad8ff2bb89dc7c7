"""What predictions are worth: COCO's ten figures, MPII's PCKh, their uncertainty, and the kinds of error."""
